"""All that sits in a notebook: forms, exercises, what a lesson says, what only Colab has. The only
room that imports ipywidgets, and only to show."""

from sdnb.notebook.bands import lesson_says
from sdnb.notebook.captions import CaptionForm, caption_editor
from sdnb.notebook.colab import download, upload_photos, use_drive
from sdnb.notebook.crops import CropForm, crop_form
from sdnb.notebook.exercises import check
from sdnb.notebook.forms import Form, form
from sdnb.notebook.model import FormModel

__all__ = [
    "CaptionForm",
    "CropForm",
    "Form",
    "FormModel",
    "caption_editor",
    "check",
    "crop_form",
    "download",
    "form",
    "lesson_says",
    "upload_photos",
    "use_drive",
]
