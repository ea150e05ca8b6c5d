import json

import pytest
from PIL import Image

from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.manifest import MANIFEST, where_photos_go
from sdnb.dataset.prepare import prepare_photos
from sdnb.errors import Problem
from sdnb.project import Project


def add(project: Project, *names: str) -> None:
    for index, name in enumerate(names):
        Image.new("RGB", (300, 300), (90 * index, 80, 70)).save(project.photos / name)


def test_photos_that_came_later_are_named(tmp_path):
    project = Project(tmp_path)
    add(project, "a.png", "b.png", "c.png", "left out.png")
    said = f"Your photos belong in {project.photos.absolute()}"
    assert where_photos_go(project) == said  # nothing is prepared: they are taken as they are
    config = PhotoConfig(photos=project.photos, skip=("left out.png",))
    prepare_photos(config, project.dataset, progress=False)
    (project.photos / "a.txt").write_text("a caption")
    (project.photos / "._a.png").touch()
    assert where_photos_go(project) == said
    add(project, "d.png", "e\udcff.png", "f.png", "g.png")
    told = where_photos_go(project)
    assert told.startswith(f"{said}\nNot in your dataset yet: d.png, e?.png, f.png and 1 more.")
    assert "notebooks 01 and 02" in told
    prepare_photos(config, project.dataset, progress=False)
    assert where_photos_go(project) == said


def test_a_list_that_is_none(tmp_path):
    (Project(tmp_path).dataset / MANIFEST).write_text(json.dumps({"photos": 3}))
    with pytest.raises(Problem, match="list of the prepared photos"):
        where_photos_go(Project(tmp_path))
