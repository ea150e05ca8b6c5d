"""The report: one page with what a training was given, what it cost and what came of it, and the
same in plain numbers, for a table of many."""

import base64
import io
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from sdnb.dataset.decoding import open_picture
from sdnb.dataset.photos import fingerprint, photo_paths, read_caption
from sdnb.errors import Problem, bytes_in_words, seconds_in_words
from sdnb.evaluation.lineup import photo_line_up
from sdnb.evaluation.scores import MEASURES, ImageSet, Scores, recognised
from sdnb.files import write_atomically
from sdnb.models.base import MODELS, Model
from sdnb.models.families import MINI
from sdnb.models.image_encoders import image_encoders_for
from sdnb.training.config import TrainConfig
from sdnb.training.methods import method_of
from sdnb.training.run_folder import Run, bytes_of, read_inputs

VERSION = 1
SHOWN = 60  # photos on the page: of more only the first
SIDE = 320  # pixels of an image on the page, the longer side
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # no page shows them
WORDED = ("instance_prompt", "class_prompt", "preview_prompts")  # settings that are captions


def write_report(
    run: Run,
    path: Path | str,
    scores: Scores | None = None,
    images: Iterable[tuple[str, Image.Image]] = (),
    seconds: float | None = None,
    photos: bool = True,
    line_up: Model | None = None,
) -> Path:
    """Write the page to `path` (.html) and its numbers beside it (.json); returns the page's path.

    Both hold what stands in the run's folder, and what only the caller knows: the scores, (prompt,
    image) pairs (an `ImageSet` is that), and the seconds of training, which do not stand in the
    folder of a run that rested for a night. The page needs no other file and no network. With
    `photos` false it shows neither photos nor captions, for pages that leave the learner's machine;
    the numbers never do. `line_up` is the run's base model, to score the images, an `ImageSet`, in
    a line-up of photos too (`photo_line_up` of their prompts): that makes nineteen images more, and
    fetches an image encoder. Raises Problem where that fails, or the files cannot be written.
    """
    path, config = Path(path), run.config
    if path.suffix.lower() != ".html":
        path = path.with_name(f"{path.name}.html")
    if line_up:
        scores = _in_line_up(config, line_up, images, scores or Scores({}))
    count, shown = _photos(run)
    numbers = _numbers(run, scores, seconds, count)
    by_prompt = groupby(images, key=itemgetter(0))
    files = [*([run.weights] if run.finished else []), *run.checkpoints]
    html = render(
        "report.html",
        title=run.folder.name,
        report=numbers,
        method=method_of(config).title,
        by_prompt=[(words, [thumbnail(image) for _, image in each]) for words, each in by_prompt],
        measures=MEASURES,
        remarks=scores.remarks if scores else (),
        mini=config.base in MODELS and MODELS[config.base].family.name == MINI.name,
        photos=shown if photos else (),
        settings=_changed_settings(config, photos),
        files=[(file.name, bytes_of(file)) for file in files],
    )
    content = json.dumps(numbers, indent=1, default=asdict)
    write_atomically(path.with_suffix(".json"), content.encode())
    write_atomically(path, html.encode("utf-8", "replace"))  # a folder's name may be no text
    return path


def _in_line_up(config: TrainConfig, model: Model, images: ImageSet, scores: Scores) -> Scores:
    """The scores with the share of the images that is recognised in a line-up of photos."""
    if not isinstance(images, ImageSet):
        raise Problem("There are no images for the line-up", do="Give those of make_image_set")
    encoder = image_encoders_for(model)[-1]
    lineup = photo_line_up(config, model, others=images.prompts, encoder=encoder)
    share = {encoder.name: recognised(images.embed_with(encoder), lineup)}
    return Scores({"line-up": share, **scores.numbers}, (*scores.remarks, *lineup.remarks))


def render(template: str, **values: Any) -> str:
    """A page from the folder templates/. Whatever others wrote stands there as text, never as
    markup."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("sdnb.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    filters = (bytes_in_words, data_uri, seconds_in_words, value_in_words)
    templates.filters |= {function.__name__: function for function in filters}
    return CONTROLS.sub("", templates.get_template(template).render(values))


def data_uri(image: Image.Image) -> str:
    """The image as the source of an <img>."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail(image: Image.Image) -> Image.Image:
    """A small copy, RGB, without what came along in the file, such as where a photo was taken."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return Image.frombytes("RGB", small.size, small.tobytes())


def value_in_words(value: Any) -> str:
    """A setting's value for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numbers(run: Run, scores: Scores | None, seconds: float | None, photos: int | None) -> dict:
    """The report as plain data, but for the scores: no image, no caption, no path. None is what
    nobody knows."""
    config, steps = run.config, len(run.history)
    return {
        "sdnb_report": VERSION,
        "name": run.folder.name,
        "method": config.method,
        "base": Path(config.base).name,
        "machine": _machine(run.facts),
        "finished": run.finished,
        "steps": steps,
        "seconds": seconds,
        "seconds_per_step": seconds / steps if seconds is not None and steps else None,
        "file_bytes": bytes_of(run.weights) if run.finished else None,
        "settings": {k: v for k, v in _settings(config).items() if k not in WORDED},
        "photos": photos,
        "scores": scores.numbers if scores else {},
    }


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that are no paths."""
    paths = {name for name in type(config).model_fields if isinstance(getattr(config, name), Path)}
    return config.model_dump(mode="json", exclude={*paths, "base", "method"})


def _changed_settings(config: TrainConfig, photos: bool) -> list[tuple[str, str, str]]:
    """(title, value, default) where the two differ."""
    fields = type(config).model_fields
    rows = [
        (fields[name].title, value_in_words(value), value_in_words(fields[name].default))
        for name, value in _settings(config).items()
        if photos or name not in WORDED
    ]
    return [(title, value, default) for title, value, default in rows if value != default]


def _photos(run: Run) -> tuple[int | None, tuple[tuple[str, Image.Image], ...]]:
    """How many photos it was trained on, and the first of them; None where they are gone, or have
    changed since."""
    try:
        paths, now = photo_paths(run.config.photos, fewest=1), fingerprint(run.config.photos)
        if read_inputs(run).get("photos", now) != now:
            return None, ()
    except (Problem, OSError):
        return None, ()
    found = []
    for path in paths[:SHOWN]:
        with suppress(Problem):  # the report of a training is no place to mend its photos
            found.append((read_caption(path), thumbnail(open_picture(path, at_least=SIDE))))
    return len(paths), tuple(found)


def _machine(facts: dict[str, Any]) -> dict[str, str]:
    """The machine as the run noted it; empty where it did not."""
    keys = ("name", "device", "precision")
    return {key: str(facts[key])[:200] for key in keys} if facts.keys() >= {*keys} else {}
