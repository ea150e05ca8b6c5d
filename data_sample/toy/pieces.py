"""Materials and shapes for the toy's photos: paint, wood, bricks; turned, bent and round pieces.

Lengths are centimetres, and z points up.
"""

from collections.abc import Sequence
from functools import cache

import mitsuba as mi
import numpy as np
from PIL import Image

mi.set_variant("llvm_ad_rgb")


def rgb(colour: Sequence[int]) -> np.ndarray:
    """Linear light of an sRGB colour, by the simple power 2.2."""
    return (np.array(colour) / 255) ** 2.2


def stuff(colour, rough: float = 0.45, metal: float = 0.0, coat: float = 0.0) -> dict:
    """A material of an sRGB colour or an (h, w, 3) array of levels; `rough` 1 is matt."""
    if isinstance(colour, np.ndarray):
        base = {"type": "bitmap", "bitmap": mi.Bitmap(colour.clip(0, 255).astype(np.uint8))}
    else:
        base = {"type": "rgb", "value": rgb(colour).tolist()}
    kind = {"type": "principled", "base_color": base, "roughness": rough, "metallic": metal}
    return {**kind, "clearcoat": coat, "clearcoat_gloss": 0.85}


def cloudy(seed: int, cells: tuple[int, int], side: int = 1024) -> np.ndarray:
    """(side, side) smooth noise of about -1 to 1, `cells` bumps wide and high."""
    rough = np.random.default_rng(seed).normal(size=(cells[1], cells[0])).astype(np.float32)
    return np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC)) / 2


def speckled(colour: Sequence[int], amount: float = 0.05, cells: int = 300) -> np.ndarray:
    """Plaster, paper or stone: fine grains, and large faint clouds."""
    tone = 1 + amount * cloudy(4, (cells, cells)) + 0.05 * cloudy(6, (5, 4))
    return tone[..., None] * colour


@cache
def wood(colour: tuple, seed: int, planks: int = 0) -> np.ndarray:
    """Rings bent by noise, pores, and for boards `planks` of their own tone, side by side."""
    x = np.linspace(0, 1, 1024)[:, None] * np.ones(1024)
    shift = np.floor(x * planks) * 7.3 if planks else 0
    rings = np.sin(40 * x + 6 * cloudy(seed, (3, 5)) + 2 * cloudy(seed + 1, (4, 40)) + shift)
    tone = 1 + 0.07 * rings + 0.10 * cloudy(seed + 2, (6, 400)) + 0.05 * cloudy(seed + 3, (3, 3))
    if planks:
        own = np.random.default_rng(seed).uniform(0.86, 1.1, planks + 1)
        tone *= own[np.floor(x * planks).astype(int)]
        tone[np.abs(x * planks % 1 - 0.5) > 0.492] *= 0.35
    return tone[..., None] ** [0.9, 1.1, 1.3] * colour


def chequered(one: Sequence[int], two: Sequence[int], cells: int) -> np.ndarray:
    """A woven check: both stripes mix where they cross."""
    stripe = (np.arange(1024) * cells // 512 % 2)[:, None, None]
    cloth = (stripe + stripe.transpose(1, 0, 2)) / 2 * np.subtract(two, one) + one
    return cloth * (1 + 0.06 * cloudy(5, (512, 512))[..., None])


def walled(brick: Sequence[int], joint: Sequence[int], rows: int, shift: float = 0.5):
    """Bricks (shift 0.5) or tiles (0) with joints; every brick has a tone of its own."""
    y, x = np.mgrid[0:1024, 0:1024] / 1024 * rows
    x = x / (2 if shift else 1) + shift * (y.astype(int) % 2)
    own = np.random.default_rng(rows).uniform(0.82, 1.12, (rows + 1, rows + 2))
    tone = (own[y.astype(int), x.astype(int)] if shift else 1) + 0.06 * cloudy(8, (200, 200))
    edge = (np.minimum(y % 1, 1 - y % 1) < 0.05) | (np.minimum(x % 1, 1 - x % 1) < 0.03)
    return np.where(edge[..., None], joint, tone[..., None] * brick)


def mesh(points: np.ndarray, faces: np.ndarray, normals: np.ndarray, uv: np.ndarray, bsdf: dict):
    """Triangles of (n, 3) points, each with a normal and a place in the texture."""
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(bsdf)
    shape = mi.Mesh("", len(points), len(faces), props, True, True)
    values = mi.traverse(shape)
    parts = {"vertex_positions": points, "vertex_normals": normals, "vertex_texcoords": uv}
    for name, value in parts.items():
        values[name] = mi.Float(value.astype(np.float32).ravel())
    values["faces"] = mi.UInt32(faces.astype(np.uint32).ravel())
    values.update()
    return shape


def slab(low: Sequence[float], high: Sequence[float], bsdf: dict):
    """A box between two corners; every face shows the whole texture."""
    middle, half = np.add(high, low) / 2, np.subtract(high, low) / 2
    to_world = mi.ScalarTransform4f().translate(middle).scale(half)
    return mi.load_dict({"type": "cube", "to_world": to_world, "bsdf": bsdf})


def surface(grid: np.ndarray, bsdf: dict, solid: float = 0):
    """A mesh over an (n, m, 3) grid of points that closes on itself along its second axis (or is so
    wide that nobody sees its end). With `solid` the texture goes through it as grain through wood,
    a repeat every `solid` cm."""
    n, m, _ = grid.shape
    ring = grid[:, :-1]
    along, around = np.gradient(ring, axis=0), np.roll(ring, -1, 1) - np.roll(ring, 1, 1)
    normals = np.cross(around, along)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True) + 1e-12
    normals = np.concatenate([normals, normals[:, :1]], 1)
    v, u = np.mgrid[0 : 1 : n * 1j, 0 : 1 : m * 1j]
    uv = np.stack([u, v], 2)
    if solid:
        uv = np.stack([grid[..., 2], grid[..., 0] + 0.4 * grid[..., 1]], 2) / solid + (0, 0.5)
    place = np.arange(n * m).reshape(n, m)
    a, b, c, d = place[:-1, :-1], place[:-1, 1:], place[1:, 1:], place[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], 2), np.stack([a, c, d], 2)]).reshape(-1, 3)
    parts = (grid, faces, normals, uv)
    return mesh(*(part.reshape(-1, part.shape[-1]) for part in parts), bsdf)


def turned(outline: Sequence[tuple[float, float]], rounds: int = 3) -> np.ndarray:
    """A piece from the lathe: (radius, height) from bottom to top, its corners cut (Chaikin)."""
    line = np.array(outline, float)
    for _ in range(rounds):
        cut = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1)
        line = np.concatenate([line[:1], cut.reshape(-1, 2), line[-1:]])
    turn = np.linspace(0.5 * np.pi, 2.5 * np.pi, 97)  # the seam is at the back
    r, z = np.maximum(line[:, :1], 1e-4), line[:, 1:]
    return np.stack(np.broadcast_arrays(r * np.cos(turn), r * np.sin(turn), z), 2)


def rounded(half: Sequence[float], power: float = 2) -> np.ndarray:
    """An ellipsoid (power 2) to a box with round edges (6 and more): |x|^p + |y|^p + |z|^p = 1."""
    up = np.linspace(-np.pi / 2 + 1e-3, np.pi / 2 - 1e-3, 65)[:, None]
    turn = np.linspace(0.5 * np.pi, 2.5 * np.pi, 129)
    ball = np.broadcast_arrays(np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up))
    ball = np.stack(ball, 2)
    return ball / (np.abs(ball) ** power).sum(2, keepdims=True) ** (1 / power) * half


def bent(path: np.ndarray, radius: float) -> np.ndarray:
    """A round wire along a path of (n, 3) points."""
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.cross(ahead, [0.3, 0.2, 0.9])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turn = np.linspace(0, 2 * np.pi, 25)[None, :, None]
    up = np.cross(ahead, side)
    return path[:, None] + radius * (np.cos(turn) * side[:, None] + np.sin(turn) * up[:, None])


def ring(radius: float, wire: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 65)
    return bent(np.stack([radius * np.cos(turn), 0 * turn, radius * np.sin(turn)], 1), wire)


def put(grid: np.ndarray, at=(0, 0, 0), x: float = 0, y: float = 0, z: float = 0) -> np.ndarray:
    """Turned by degrees about x, then y, then z, and moved to `at`."""
    for axis, degrees in enumerate((x, y, z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one, two = (axis + 1) % 3, (axis + 2) % 3
        grid = grid.copy()
        a, b = grid[..., one].copy(), grid[..., two].copy()
        grid[..., one], grid[..., two] = c * a - s * b, s * a + c * b
    return grid + np.array(at)
