"""Draws the photos of the toy: python data_sample/toy/draw.py [NUMBER ...] [--draft]

A made-up wooden robot-bird, built from a few turned, bent and rounded pieces, is put in twenty
places and rendered by Mitsuba 3; Intel's Open Image Denoise takes the noise away. Both are needed
here only, so they have an environment of their own:

    sudo apt-get install libllvm19
    python -m venv ~/toy
    ~/toy/bin/pip install mitsuba==3.9.1 mitsuba-oidn==0.1.2 numpy pillow
    export DRJIT_LIBLLVM_PATH=/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1
    ~/toy/bin/python data_sample/toy/draw.py

Photos and captions are written beside this file; numbers choose some of them, a draft is small,
coarse and goes to "toy_draft" among the temporary files. Lengths are centimetres, z points up, and
the camera looks along y.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import mitsuba as mi
import mitsuba_oidn as oidn
import numpy as np
from pieces import rgb
from PIL import Image
from places import PLACES
from things import beside, toy

HERE = Path(__file__).parent
TRIGGER, HEIGHT, DEPTH, FAR = "ravo toy", 11.8, 8.0, 45.0  # of the toy; from it to the camera


# Colour and strength of the light, whence it falls (degrees to the right, and up), how large it is
# (small means hard shadows), and the colour and strength of what comes from all around.
LIGHTS = {
    "soft daylight": ((255, 248, 238), 1.0, -40, 45, 22, (205, 214, 228), 0.45),
    "warm evening light": ((255, 196, 128), 1.3, -58, 24, 8, (168, 160, 184), 0.3),
    "cool morning light": ((206, 226, 255), 0.9, 45, 38, 18, (176, 198, 236), 0.45),
    "light from the side": ((255, 246, 236), 0.9, -80, 24, 12, (190, 194, 204), 0.22),
    "overcast sky": ((240, 244, 250), 0.35, 10, 70, 40, (222, 230, 240), 0.8),
    "bright sunshine": ((255, 242, 220), 1.6, 40, 46, 3, (176, 204, 242), 0.42),
    "lamp light": ((255, 220, 176), 1.3, 22, 58, 8, (190, 176, 160), 0.3),
}


@dataclass(frozen=True)
class Photo:
    """`yaw` turns the toy, `up` lifts the camera (both degrees), `fill` is the toy's part of the
    photo's height, `lens` the radius of the opening (cm; wide means a blurred background), `aim`
    how far the toy is from the middle, right and up; `thing` stands beside it."""

    place: str
    light: str
    view: str
    yaw: float
    up: float
    fill: float
    size: tuple[int, int] = (704, 704)
    lens: float = 0.5
    aim: tuple[float, float] = (0, 0)
    thing: str = ""
    at: tuple[float, float] = (0, 0)
    bright: float = 1.0

    @property
    def caption(self) -> str:
        """Everything but the toy itself, which the trigger stands for."""
        thing = f"beside {self.thing}" if self.thing else ""
        parts = [f"photo of {TRIGGER}", self.place, thing, self.light, f"seen {self.view}"]
        return ", ".join(filter(None, parts))


TALL, WIDE = (576, 768), (768, 576)
FRONT, SIDE, BACK, ABOVE = "from the front", "from the side", "from behind", "from above"
PHOTOS = [
    Photo("on a wooden table", "soft daylight", FRONT, 14, 14, 0.88),
    Photo("on grass", "bright sunshine", SIDE, -38, 10, 0.76, TALL, 0.9, bright=0.85),
    Photo("on a book shelf", "lamp light", FRONT, -16, 8, 0.84, WIDE, 0.5, bright=0.6),
    Photo("on yellow paper", "soft daylight", SIDE, 42, 16, 0.88),
    Photo("on a window sill", "cool morning light", SIDE, 36, 9, 0.76, TALL, 0.8, bright=1.15),
    Photo(
        "on a checked tablecloth",
        "warm evening light",
        FRONT,
        22,
        18,
        0.8,
        WIDE,
        aim=(-4.8, 0),
        thing="a yellow mug",
        at=(10.5, 6),
    ),
    Photo("in the snow", "overcast sky", FRONT, -8, 12, 0.86, lens=0.8, bright=1.3),
    Photo("on stone before a brick wall", "light from the side", SIDE, -42, 12, 0.8, TALL),
    Photo("on pink paper", "cool morning light", FRONT, 0, 8, 0.83),
    Photo("on sand at the beach", "warm evening light", SIDE, 34, 9, 0.84, WIDE, 0.8),
    Photo(
        "on a white table before a blue wall",
        "soft daylight",
        FRONT,
        -24,
        15,
        0.7,
        aim=(-3.2, 0),
        thing="a red apple",
        at=(8.2, -1.5),
    ),
    Photo("in a kitchen with white tiles", "lamp light", SIDE, 50, 20, 0.76, TALL, bright=1.25),
    Photo("on light blue paper", "soft daylight", ABOVE, 20, 42, 0.9),
    Photo(
        "on a dark wooden table before a green wall",
        "light from the side",
        FRONT,
        10,
        12,
        0.8,
        WIDE,
        aim=(5.5, 0),
        thing="a stack of books",
        at=(-12, 4),
    ),
    Photo("on grass", "overcast sky", FRONT, 4, 22, 0.9, lens=0.8, bright=0.9),
    Photo("on grey paper", "light from the side", BACK, 148, 16, 0.76, TALL),
    Photo(
        "on a wooden table",
        "bright sunshine",
        SIDE,
        -44,
        28,
        0.77,
        aim=(3, 0),
        thing="three wooden blocks",
        at=(-9.5, 2),
    ),
    Photo("on sand at the beach", "bright sunshine", FRONT, -20, 24, 0.8, TALL, 0.7, bright=1.2),
    Photo(
        "on a window sill",
        "overcast sky",
        FRONT,
        26,
        12,
        0.8,
        WIDE,
        0.6,
        aim=(-5, 0),
        thing="a green plant in a pot",
        at=(10, 5),
    ),
    Photo("on a checked tablecloth", "soft daylight", ABOVE, -32, 34, 0.9, bright=0.85),
]


def lit(name: str) -> dict:
    """The large lamp of a light, and the glow all around, paler above than below."""
    colour, strength, right, up, size, around, glow = LIGHTS[name]
    turn, rise = np.radians(right), np.radians(up)
    at = 80 * np.array([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), np.sin(rise)])
    lamp = {
        "type": "rectangle",
        "to_world": mi.ScalarTransform4f().look_at(at, [0, 0, 5], [0, 0.01, 1]).scale(size),
        "emitter": {
            "type": "area",
            "radiance": {
                "type": "rgb",
                "value": (4800 * strength / size**2 * rgb(colour)).tolist(),
            },
        },
    }
    sky = np.linspace(1.25, 0.55, 64)[:, None, None] * np.ones((64, 128, 1)) * rgb(around) * glow
    upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    bitmap = mi.Bitmap(sky.astype(np.float32))
    return {"lamp": lamp, "sky": {"type": "envmap", "bitmap": bitmap, "to_world": upright}}


def camera(photo: Photo, size: tuple[int, int]) -> dict:
    up = np.radians(photo.up)
    seen = HEIGHT * np.cos(up) + DEPTH * np.sin(up)
    middle = np.array([-photo.aim[0], 0, HEIGHT / 2 - photo.aim[1]])
    at = middle + FAR * np.array([0, -np.cos(up), np.sin(up)])
    film = {"type": "hdrfilm", "width": size[0], "height": size[1], "rfilter": {"type": "box"}}
    return {
        "type": "thinlens",
        "aperture_radius": photo.lens,
        "focus_distance": FAR - 3.0,  # on the eyes, which are before the middle
        "fov": float(np.degrees(2 * np.arctan(seen / photo.fill / 2 / FAR))),
        "fov_axis": "y",
        "to_world": mi.ScalarTransform4f().look_at(at, middle, [0, 0, 1]),
        "film": film,
    }


def developed(light: np.ndarray, bright: float, seed: int) -> Image.Image:
    """From linear light to a photo: exposed for its middle, whites rolled off (Reinhard et al.
    2002, equation 4), a little contrast, and fine grain."""
    grey = light @ [0.2126, 0.7152, 0.0722]
    light = light * bright * 0.3 / np.exp(np.log(grey + 0.01).mean())
    light = light * (1 + light / 2.5**2) / (1 + light)
    levels = np.clip(light * 1.35, 0, 1) ** (1 / 2.2)
    levels = levels + 0.35 * levels * (1 - levels) * (2 * levels - 1)
    grain = np.random.default_rng(seed).normal(0, 1.2, grey.shape)[..., None]
    return Image.fromarray((255 * levels + grain).round().clip(0, 255).astype(np.uint8))


def taken(photo: Photo, seed: int, draft: bool) -> Image.Image:
    size = tuple(side * 4 // 9 for side in photo.size) if draft else photo.size
    things = [*toy(photo.yaw), *PLACES[photo.place]()]
    if photo.thing:
        things += beside(photo.thing, photo.at)
    scene = {"type": "scene", "sensor": camera(photo, size), **lit(photo.light)}
    scene |= {f"thing {place}": thing for place, thing in enumerate(things)}
    aovs = {"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"}
    # the layers: colour and alpha, albedo, normals; the denoiser keeps edges that the last two show
    scene["integrator"] = {**aovs, "image": {"type": "path", "max_depth": 5}}
    layers = np.array(mi.render(mi.load_dict(scene), spp=8 if draft else 20, seed=seed))
    light, albedo, normal = (np.ascontiguousarray(layers[..., i : i + 3]) for i in (0, 4, 7))
    albedo, normal = oidn.denoise(albedo), 2 * oidn.denoise(normal / 2 + 0.5) - 1
    light = oidn.denoise(light, albedo, normal, hdr=True, clean_aux=True)
    return developed(light, photo.bright, seed)


def main() -> None:
    draft, chosen = "--draft" in sys.argv, [int(word) for word in sys.argv[1:] if word.isdigit()]
    folder = Path(gettempdir(), "toy_draft") if draft else HERE
    folder.mkdir(exist_ok=True)
    for number, photo in enumerate(PHOTOS, 1):
        if not chosen or number in chosen:
            path = folder / f"toy_{number:02}.jpg"
            taken(photo, number, draft).save(path, quality=90)
            path.with_suffix(".txt").write_text(photo.caption + "\n")


if __name__ == "__main__":
    main()
