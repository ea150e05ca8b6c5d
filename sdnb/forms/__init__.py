"""Forms made from the settings classes, one for captions and one for crops. The only room that
imports ipywidgets, and only to show."""

from sdnb.forms.captions import CaptionForm, caption_editor
from sdnb.forms.crops import CropForm, crop_form
from sdnb.forms.form import Form, form
from sdnb.forms.model import FormModel

__all__ = ["CaptionForm", "CropForm", "Form", "FormModel", "caption_editor", "crop_form", "form"]
