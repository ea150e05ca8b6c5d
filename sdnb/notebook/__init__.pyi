from .bands import lesson_says as lesson_says
from .captions import caption_editor as caption_editor
from .colab import (
    download as download,
    upload_photos as upload_photos,
    use_drive as use_drive,
)
from .crops import crop_form as crop_form
from .exercises import check as check
from .forms import form as form
