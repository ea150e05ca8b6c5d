"""Photos that came after the dataset had been prepared: a training would pass over them."""

import json

from sdnb.dataset.manifest import MANIFEST, read_manifest
from sdnb.dataset.pictures import SUFFIXES
from sdnb.project import Project


def where_photos_go(project: Project | None = None) -> str:
    """The folder that the learner's photos belong in, and which of those there the dataset of
    notebook 01 lacks, in sentences. Photos that were left out by choice do not count, nor does any
    while nothing is prepared. Raises Problem where the folder cannot be written, or the dataset's
    list is none."""
    project = project or Project()
    said = f"Your photos belong in {project.photos.absolute()}"
    dataset = project.folder / "dataset"
    prepared, _ = read_manifest(dataset)
    if not prepared:
        return said
    content = json.loads((dataset / MANIFEST).read_text("utf-8", "surrogateescape"))
    known = {*prepared, *content["settings"].get("skip", ())}
    there = (path for path in project.photos.iterdir() if path.suffix.lower() in SUFFIXES)
    new = sorted({path.name for path in there if not path.name.startswith(".")} - known)
    if not new:
        return said
    names = ", ".join([*new[:3], f"... ({len(new)} in all)"] if len(new) > 3 else new)
    names = names.encode("utf-8", "replace").decode()  # a name that is no Unicode can be printed
    advice = "Run the last cells of notebooks 01 and 02 again, or training passes them over."
    return f"{said}\nNot in your dataset yet: {names}. {advice}"
