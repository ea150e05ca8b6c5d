"""Forms made from the settings classes, and one for captions. The only room that imports
ipywidgets, and only to show."""

from sdnb.forms.captions import CaptionForm, caption_editor
from sdnb.forms.form import Form, form
from sdnb.forms.model import FormModel

__all__ = ["CaptionForm", "Form", "FormModel", "caption_editor", "form"]
