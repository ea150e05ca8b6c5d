"""The settings of captioning, and the words that a project is about."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from sdnb.errors import with_article
from sdnb.settings import Settings

PEOPLE = ("man", "woman")
CAPTIONERS = ["mini", "blip-base", "blip-large", "florence-2"]  # a form offers them


class SubjectConfig(Settings):
    """Whom or what your photos show, and by which word: asked once, and kept for the project."""

    basics = ("trigger", "class_word", "subject")
    names = ("trigger", "class_word")

    trigger: str = Field("ravo", min_length=1, title="Trigger word")
    """The made-up word that will mean your subject, letters only; every later form begins with it,
    and a real word keeps its old meaning."""
    class_word: str = Field("man", min_length=1, title="Class word")
    """What your subject is in everyday English (man, woman, dog, mug); for a style write "plain",
    which is what other pictures are."""
    subject: Literal["person", "object", "style"] = Field("person", title="Subject")
    """What the word will stand for: a person, an object (an animal too), or a style."""

    @field_validator("subject")
    @classmethod
    def _no_person_is_an_object(cls, value: str, info: ValidationInfo) -> str:
        if value == "object" and (word := info.data.get("class_word")) in PEOPLE:
            what = f"for an object the class word says what it is, such as mug; it is {word!r}"
            raise PydanticCustomError("kinds", what)
        return value

    @property
    def front(self) -> str:
        """What captions and prompts begin with: "photo of ravo", "photo of ravo mug", "drawing in
        ravo style"."""
        named = f"{self.trigger} {self.class_word}" if self.subject == "object" else self.trigger
        return f"drawing in {named} style" if self.subject == "style" else f"photo of {named}"

    @property
    def anyone(self) -> str:
        """What prompts for anybody or anything else of the class begin with: "photo of a man",
        "photo of a mug", "drawing"."""
        return "drawing" if self.subject == "style" else f"photo of {with_article(self.class_word)}"


class CaptionConfig(Settings):
    """Captions by a captioner: which one, what stands around its words, and how it chooses them."""

    basics = ("captioner", "prefix", "suffix")
    names = ("captioner",)

    captioner: str = Field(
        "mini", min_length=1, title="Captioner", json_schema_extra={"known": CAPTIONERS}
    )
    """Who describes the photos: mini knows drawn sample photos only, blip-base and blip-large
    describe real ones, florence-2 says more; or the path of a captioner's folder."""
    prefix: str = Field("", title="In front")
    """What stands in front of every caption; "photo of ravo" with your trigger word is good; if it
    is empty, you have to put the word in by hand."""
    suffix: str = Field("", title="Behind")
    """What stands behind every caption; empty is safe, and what is there in every caption can be
    left out and asked for later."""
    beams: int = Field(3, ge=1, le=10, title="Beams")
    """How many wordings are followed up side by side; 3 is safe, with 1 it is quicker and plainer,
    with many it is slow and says little else."""
    min_length: int = Field(5, ge=1, le=200, title="Shortest")
    """The least number of tokens (words and parts of words) of a caption; 5 is safe, higher and the
    captioner makes things up to fill it."""
    max_length: int = Field(40, ge=1, le=200, validate_default=True, title="Longest")
    """The largest number of tokens of a caption; 30 to 60 is safe, lower cuts sentences off, and
    training reads no more than 75, prefix and suffix included."""
    repetition_penalty: float = Field(1.1, ge=1, le=3, title="Repetition penalty")
    """How strongly a word that was said is avoided; 1 to 1.2 is safe, 1 lets some captioners
    stutter, high and they look for words that do not fit."""
    begin: str = Field("", title="Beginning")
    """The words that a caption begins with and BLIP goes on from, such as "a photo of a man"; empty
    is safe, a wrong one leads it astray, and florence-2 takes none."""
    batch_size: int = Field(8, ge=1, le=64, title="Batch size")
    """Photos at a time; 8 is safe, more is quicker on a large GPU and needs more memory, 1 needs
    the least."""
    overwrite: bool = Field(False, title="Overwrite")
    """Whether captions written by hand are made anew too; off keeps your own, on loses them."""

    @field_validator("max_length")
    @classmethod
    def _not_below_min_length(cls, value: int, info: ValidationInfo) -> int:
        if value < (least := info.data.get("min_length", 0)):
            what = f"it should be at least min_length, which is {least}"
            raise PydanticCustomError("lengths", what)
        return value
