"""sdnb: from a folder of photos to a personalised Stable Diffusion model.

This is the index: every name the notebooks use, and the room it lives in. A name is imported the
first time it is used, so `import sdnb` is instant and loads no torch.
"""

import logging
import sys
from importlib import import_module

__version__ = "0.1.0"

# transformers warns, while diffusers is imported, of two processors that would like torchvision.
# Nothing here needs it, and a first cell should not open with a warning.
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)

if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()):
    import_module("sdnb.recognise").speak_in(_shell)  # errors in sentences, not in tracebacks

_ROOMS = {
    "Problem": "sdnb.problems",  # what is wrong, where, and what to do
    "check": "sdnb.notebook.exercises",  # an answer to an exercise, and a hint back
    "LoraConfig": "sdnb.config",  # the settings of a LoRA training
    "DreamboothConfig": "sdnb.config",  # of a DreamBooth training
    "TextualInversionConfig": "sdnb.config",  # of a new word's training
    "PictureConfig": "sdnb.config",  # the settings of a row of pictures
    "preset": "sdnb.config",  # settings that work, by name
    "presets": "sdnb.config",  # the names there are
    "form": "sdnb.notebook",  # settings to fill in, in a notebook
    "find_machine": "sdnb.machine",  # where am I: device, precision, memory
    "default_base": "sdnb.models.base",  # the base model that suits this machine
    "Project": "sdnb.project",  # your folder: photos, runs, exports
    "load_model": "sdnb.models.loading",  # a base model, ready to make pictures and to learn
    "PersonConfig": "sdnb.mini.yourself",  # a made-up person, and how the photos are taken
    "draw_yourself": "sdnb.mini.yourself",  # take them
    "PhotoConfig": "sdnb.dataset.settings",  # from your photos to prepared copies
    "examine": "sdnb.dataset.checkup",  # the photo doctor: a sentence for every photo
    "crop_form": "sdnb.notebook",  # its crops, to accept or to move
    "prepare_photos": "sdnb.dataset.prepare",  # cropped copies, and a note of what was done
    "CaptionConfig": "sdnb.captioning.settings",  # which captioner, and how it writes
    "make_captions": "sdnb.captioning",  # a caption beside every photo
    "caption_editor": "sdnb.notebook",  # the captions, to mend
    "judge_sees": "sdnb.captioning",  # what the coach asks of drawn photos
    "clip_sees": "sdnb.captioning",  # and of real ones
    "with_article": "sdnb.mini.words",  # "a man", "an owl"
    "load_tokenizer": "sdnb.models.loading",  # how a base model cuts words into pieces
    "import_photos": "sdnb.dataset.importing",  # your photos from a folder or a zip, as copies
    "read_photos": "sdnb.dataset",  # a folder of photos and their captions
    "where_photos_go": "sdnb.dataset.arrivals",  # and which of yours are not prepared yet
    "coach": "sdnb.captioning",  # what training will make of the captions, in sentences
    "plan": "sdnb.training.plan",  # what a run will take: memory, term by term, and files
    "forecast": "sdnb.training.pace",  # the same with the minutes, from five steps tried
    "train": "sdnb.training.run",  # one run, from settings to result
    "generate": "sdnb.inference",  # the pictures that a PictureConfig asks for
    "make_pictures": "sdnb.inference",  # pictures from prompts, with fixed seeds
    "grid": "sdnb.sheet",  # many pictures in one, labelled
    "picture_grid": "sdnb.inference",  # a table of pictures: one axis steps, another the weight
    "Axis": "sdnb.inference",  # one side of that table
    "draw_into": "sdnb.inference",  # the pictures as files, each with the text of how it was made
    "read_picture": "sdnb.inference",  # that text, read again
    "write_text": "sdnb.inference",  # and written
    "config_from": "sdnb.inference",  # the settings it tells
    "load_lora": "sdnb.adapters",  # a trained LoRA, put into a model
    "unload_lora": "sdnb.adapters",  # and taken out again
    "load_embedding": "sdnb.adapters",  # a learned word, put into a model
    "unload_embeddings": "sdnb.adapters",  # and taken out again
    "load_judge": "sdnb.mini.judge",  # a network that says what a picture shows
    "counts": "sdnb.mini.judge",  # how often it saw what
    "line_up": "sdnb.evaluation",  # the parade: is it this person, or only somebody like it?
    "weights_apart": "sdnb.evaluation.apart",  # how far two bases lie apart
    "lora_moves": "sdnb.evaluation.apart",  # and how far a LoRA moves one
    "load_clip": "sdnb.evaluation",  # the mini model's CLIP
    "prompt_fit": "sdnb.evaluation",  # do the pictures show what the prompts say?
    "drift": "sdnb.evaluation",  # how far did a training move everything else?
    "eyes_for": "sdnb.evaluation",  # networks that look at pictures, as they suit a base model
    "draw": "sdnb.evaluation",  # pictures of every prompt from every seed, to be measured
    "measure": "sdnb.evaluation",  # likeness, prompt fit, drift, diversity, with their spread
    "wearing": "sdnb.evaluation",  # a base model with a run's result, for a while
    "pick_checkpoint": "sdnb.evaluation",  # the best of a run's checkpoints
    "dreambooth_protocol": "sdnb.evaluation",  # the DreamBooth paper's own measurement
    "report_of": "sdnb.evaluation",  # all that is known of a run
    "write_report": "sdnb.evaluation",  # on one page
    "read_reports": "sdnb.evaluation",  # those of a whole class
    "write_class": "sdnb.evaluation",  # in one table and one plot
    "finished_runs": "sdnb.training.run_folder",  # the runs of a project that are through
    "own_runs": "sdnb.training.run_folder",  # of these, the ones on the learner's own photos
    "restore": "sdnb.training.methods.base",  # a base model as it was before any training
    "export_kohya": "sdnb.export",  # a LoRA as the web UIs read it
    "export_embedding": "sdnb.export",  # a learned word as the web UIs read it
    "merge_lora": "sdnb.adapters",  # bake a LoRA into its base
    "export_model": "sdnb.export",  # a whole model for other programs
    "where_to_put": "sdnb.export",  # where another program looks for a file
    "put_there": "sdnb.export",  # copy it there
    "sample_photos": "sdnb.sample",  # photos of a made-up person, a mug, a style, to learn with
    "sample_trained": "sdnb.sample",  # and what was learned from them
}
__all__ = ["__version__", *_ROOMS]


def __getattr__(name):
    if name not in _ROOMS:
        raise AttributeError(f"module 'sdnb' has no attribute {name!r}")
    value = getattr(import_module(_ROOMS[name]), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__():
    return sorted({*globals(), *__all__})
