"""Forms made from the settings classes. The only room that imports ipywidgets, and only to show."""

from sdnb.forms.form import Form, form
from sdnb.forms.model import FormModel

__all__ = ["Form", "FormModel", "form"]
