from .captioners import load_captioner as load_captioner, make_captions as make_captions
from .config import CaptionConfig as CaptionConfig, SubjectConfig as SubjectConfig
from .editor import CaptionEditor as CaptionEditor
from .review import coach as coach
from .uncaptioned import clip_sees as clip_sees, judge_sees as judge_sees
