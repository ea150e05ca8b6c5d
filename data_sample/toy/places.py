"""The places: what the toy stands on and what is behind it. Lengths are centimetres, z points up,
and the camera looks along y."""

from collections.abc import Callable

import mitsuba as mi
import numpy as np
from pieces import chequered, cloudy, mesh, rgb, slab, speckled, stuff, surface, walled, wood

WHITE, OAK, WALNUT, GREEN = (236, 234, 228), (160, 104, 60), (96, 62, 40), (70, 112, 44)


def outside(low, high, horizon: float, hills: float = 1.5, bright: float = 1, at: float = 160):
    """Far away and out of focus: a bright wall, one colour below the horizon and one above.
    `hills` says how uneven the horizon is."""
    z = 20 + 1.4 * at * np.linspace(-1, 1, 1024)[:, None]
    up = np.clip((z - horizon) / 6 + hills * cloudy(1, (40, 3)), 0, 1)[..., None]
    blobs = 1 + 0.25 * cloudy(2, (50, 70))[..., None] * (1 - up)
    image = (rgb(low) * (1 - up) + rgb(high) * up) * blobs * bright
    face = mi.ScalarTransform4f().translate([0, at, 20]).rotate([1, 0, 0], 90).scale(1.4 * at)
    bitmap = {"type": "bitmap", "bitmap": mi.Bitmap(image.astype(np.float32)), "raw": True}
    glow = {"type": "area", "radiance": bitmap}
    return mi.load_dict({"type": "rectangle", "to_world": face, "emitter": glow})


def room(ground: dict, wall: dict, depth: float = 45) -> list:
    top = slab((-90, -60, -3), (90, min(depth, 28), 0), ground)
    return [top, slab((-120, depth, -90), (120, depth + 1, 120), wall)]


def paper(colour: tuple) -> list:
    """A sheet that is bent up behind the toy, as photographers hang it."""
    turn = np.linspace(0, np.pi / 2, 40)
    y = np.concatenate([np.linspace(-70, 19, 40), 20 + 20 * np.sin(turn), np.full(40, 40)])
    z = np.concatenate([np.zeros(40), 20 - 20 * np.cos(turn), np.linspace(21, 120, 40)])
    x = np.linspace(-200, 200, 9)
    sheet = np.stack(np.broadcast_arrays(x[None], y[:, None], z[:, None]), 2)
    return [surface(sheet, stuff(speckled(colour, 0.02), 0.9))]


def shelf() -> list:
    board = stuff(wood(WALNUT, 21), 0.5, coat=0.2)
    shapes = [slab((-60, -9, -2.4), (60, 12, 0), board), slab((-60, 12, -60), (60, 13, 60), board)]
    shapes += [slab((-60, -9, 23), (60, 12, 25), board)]
    colours = ((176, 84, 60), (58, 92, 110), (222, 200, 150), (90, 110, 80), (120, 70, 90))
    band, chance, x = stuff((226, 200, 130), 0.4), np.random.default_rng(12), -34.0
    while x < 36:
        wide, high, deep = chance.uniform((1.2, 14, 2), (2.6, 20, 3))
        cover = stuff(speckled(colours[chance.integers(5)]), 0.6)
        if abs(x + wide / 2) > 6.2:  # room for the toy
            shapes.append(slab((x, deep, 0), (x + wide, 11, high), cover))
            shapes.append(slab((x, deep - 0.03, high - 4), (x + wide, 11, high - 3.4), band))
        x += wide + 0.12
    return shapes


def lawn() -> list:
    """Blades of three points each; their normals point up, which makes them look soft."""
    chance, count = np.random.default_rng(2), 36000
    root = np.stack(
        [chance.uniform(-38, 38, count), chance.uniform(-34, 70, count), 0 * np.ones(count)], 1
    )
    turn, high = chance.uniform(0, 2 * np.pi, count), chance.uniform(1.0, 2.4, count)
    side = 0.13 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    tip = root + np.stack([*chance.normal(0, 0.6, (2, count)), high], 1)
    points = np.stack([root - side, root + side, tip], 1).reshape(-1, 3)
    uv = chance.uniform(0, 1, (count, 1, 2)).repeat(3, 1).reshape(-1, 2)
    normals = np.tile([0, -0.25, 0.97], (len(points), 1))
    tones = speckled(GREEN, 0.35, 32) + 25 * cloudy(7, (40, 40))[..., None] * [1, 0.7, 0.1]
    blades = {"type": "twosided", "bsdf": stuff(tones, 0.7)}
    return [
        mesh(points, np.arange(len(points)).reshape(-1, 3), normals, uv, blades),
        slab((-90, -60, -1), (90, 160, 0), stuff(speckled((64, 96, 42), 0.3), 1)),
        outside((62, 100, 52), (206, 222, 236), 24),
    ]


def drifts(colour, beyond, sky, horizon: float, hills: float) -> list:
    """Sand or snow: hills of a few millimetres, flat under the toy."""
    x, y = np.meshgrid(np.linspace(-120, 120, 700), np.linspace(-60, 120, 700))
    z = 0.9 * cloudy(31, (60, 24), 700) + 0.3 * cloudy(32, (240, 110), 700)
    z = z * np.clip((np.hypot(x, y) - 4) / 14, 0.08, 1) - 0.05
    tones = speckled(colour, 0.14, 1024)
    return [
        surface(np.stack([x, y, z], 2), stuff(tones, 0.9)),
        outside(beyond, sky, horizon, hills),
    ]


def sill() -> list:
    white = stuff(speckled(WHITE, 0.02), 0.4, coat=0.3)
    bars = [slab((x - 1.2, 14, 0), (x + 1.2, 16, 90), white) for x in (-38, -7.5, 23, 53)]
    bars += [slab((-90, 13, z), (90, 16, z + 3), white) for z in (0, 34)]
    return [
        slab((-90, -40, -4), (90, 16, 0), white),
        *bars,
        outside((96, 130, 84), (214, 228, 240), 18, 1.5, 1.5, 80),
    ]


PLACES: dict[str, Callable[[], list]] = {
    "on a wooden table": lambda: room(
        stuff(wood(OAK, 1, 9), 0.45, coat=0.3), stuff(speckled((206, 198, 184)), 1)
    ),
    "on a dark wooden table before a green wall": lambda: room(
        stuff(wood(WALNUT, 5, 7), 0.4, coat=0.4), stuff(speckled((104, 132, 104)), 1), 50
    ),
    "on a white table before a blue wall": lambda: room(
        stuff(speckled(WHITE, 0.02), 0.35, coat=0.5), stuff(speckled((84, 122, 168)), 1), 30
    ),
    "on a checked tablecloth": lambda: room(
        stuff(chequered((238, 234, 224), (176, 52, 56), 36), 0.95),
        stuff(speckled((226, 214, 190)), 1),
    ),
    "in a kitchen with white tiles": lambda: room(
        stuff(speckled((112, 108, 106), 0.1, 1000), 0.3, coat=0.5),
        stuff(walled((230, 232, 230), (176, 176, 172), 26, 0), 0.2, coat=0.9),
        26,
    ),
    "on stone before a brick wall": lambda: room(
        stuff(speckled((140, 136, 130), 0.1, 1000), 0.9),
        stuff(walled((158, 84, 64), (186, 178, 168), 52), 0.9),
        20,
    ),
    "on yellow paper": lambda: paper((238, 190, 74)),
    "on pink paper": lambda: paper((232, 168, 172)),
    "on grey paper": lambda: paper((150, 154, 160)),
    "on light blue paper": lambda: paper((150, 190, 214)),
    "on a book shelf": shelf,
    "on grass": lawn,
    "on a window sill": sill,
    "on sand at the beach": lambda: drifts(
        (224, 192, 152), (70, 136, 160), (190, 214, 232), 9, 0.1
    ),
    "in the snow": lambda: drifts((232, 238, 246), (70, 84, 88), (206, 214, 224), 22, 1.5),
}
