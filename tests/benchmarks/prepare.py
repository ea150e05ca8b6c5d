"""How fast photos become copies: `prepare_photos` against plain Pillow in one thread.

    python tests/benchmarks/prepare.py --count 200

Draws `count` JPEGs of 12 megapixels in a temporary folder, from five pictures of noise on
gradients, each at another offset and quality. Plain is what a short script would do: open, RGB, fit
to 512 x 512, save at quality 95. Both run `--rounds` times in turn; the best of each counts.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.prepare import prepare_photos

WIDTH, HEIGHT, SIZE = 4000, 3000, 512


def draw_photos(folder: Path, count: int) -> None:
    chance = np.random.default_rng(0)
    x, y = np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT)[:, None]
    pictures = []
    for _ in range(5):
        slopes = chance.uniform(-120, 120, (2, 3))
        smooth = 128 + slopes[0] * (x[..., None] - 0.5) + slopes[1] * (y[..., None] - 0.5)
        noise = chance.normal(0, 12, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
        noise += chance.normal(0, 4, noise.shape)
        pictures.append(Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)))
    for number in range(count):
        moved = ImageChops.offset(pictures[number % 5], 37 * number, 23 * number)
        moved.save(folder / f"{number:04}.jpg", quality=85 + number % 11)


def plain(photos: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(photos.iterdir()):
        with Image.open(path) as file:
            picture = ImageOps.fit(file.convert("RGB"), (SIZE, SIZE), Image.Resampling.LANCZOS)
        picture.save(target / path.name, quality=95)


def prepared(photos: Path, target: Path) -> None:
    prepare_photos(PhotoConfig(photos=photos, size=SIZE), target, progress=False)


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--count", type=int, default=200)
    ask.add_argument("--rounds", type=int, default=2)
    asked = ask.parse_args()
    speed = {plain: 0.0, prepared: 0.0}
    with tempfile.TemporaryDirectory() as name:
        photos, target = Path(name) / "photos", Path(name) / "dataset"
        photos.mkdir()
        draw_photos(photos, asked.count)
        size = sum(path.stat().st_size for path in photos.iterdir()) / asked.count / 1e6
        print(f"{asked.count} photos of {size:.1f} MB, {os.cpu_count()} cores")
        for _ in range(asked.rounds):
            for way in speed:
                start = time.perf_counter()
                way(photos, target)
                speed[way] = max(speed[way], asked.count / (time.perf_counter() - start))
                shutil.rmtree(target)
        prepare_photos(PhotoConfig(photos=photos, size=SIZE), target, progress=False)
        start = time.perf_counter()
        prepare_photos(PhotoConfig(photos=photos, size=SIZE), target, progress=False)
        again = time.perf_counter() - start
    print(f"plain Pillow, one thread: {speed[plain]:.1f} photos/s")
    print(f"prepare_photos:           {speed[prepared]:.1f} photos/s")
    print(f"ratio:                    {speed[prepared] / speed[plain]:.2f}")
    print(f"a second run of the same: {again:.2f} s in all")


if __name__ == "__main__":
    main()
