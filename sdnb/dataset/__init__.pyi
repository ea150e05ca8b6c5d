from .checkup import check_photos as check_photos
from .config import PhotoConfig as PhotoConfig
from .contact_sheet import image_grid as image_grid
from .importing import import_photos as import_photos
from .manifest import where_photos_go as where_photos_go
from .photos import Photo as Photo, loss_by_shape as loss_by_shape, read_photos as read_photos
from .prepare import prepare_photos as prepare_photos
from .samples import (
    copy_samples as copy_samples,
    sample_photos as sample_photos,
    sample_trained as sample_trained,
)
