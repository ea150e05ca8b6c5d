"""Photos that came after the dataset had been prepared: a training would pass over them."""

from sdnb.dataset.manifest import read_manifest
from sdnb.dataset.photos import photos_in
from sdnb.project import Project


def where_photos_go(project: Project | None = None) -> str:
    """The folder that the learner's photos belong in, and which of those there the dataset of
    notebook 01 lacks, in sentences. Photos that were left out by choice do not count, nor does any
    while nothing is prepared. Raises Problem where the folder cannot be written, or the dataset's
    list is none."""
    project = project or Project()
    said = f"Your photos belong in {project.photos.absolute()}"
    prepared, _, settings = read_manifest(project.folder / "dataset")
    if not prepared:
        return said
    known = {*prepared, *settings.get("skip", ())}
    new = [path.name for path in photos_in(project.photos) if path.name not in known]
    if not new:
        return said
    names = ", ".join([*new[:3], f"... ({len(new)} in all)"] if len(new) > 3 else new)
    names = names.encode("utf-8", "replace").decode()  # a name that is no Unicode can be printed
    advice = "Run the last cells of notebooks 01 and 02 again, or training passes them over."
    return f"{said}\nNot in your dataset yet: {names}. {advice}"
