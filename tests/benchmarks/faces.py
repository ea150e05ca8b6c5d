"""How well faces are measured: the photo doctor's share against the studio's truth.

python tests/benchmarks/faces.py --count 40
"""

import argparse
import random

import numpy as np

from sdnb.dataset.crops import Box
from sdnb.dataset.detection import find_faces
from sdnb.mini.scenes import random_scene
from sdnb.mini.studio import draw_scene, head_box
from sdnb.mini.subjects import random_person

SHARES = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--count", type=int, default=40, help="people for each share")
    ask.add_argument("--size", type=int, default=320, help="pixels of the photos")
    asked, rng = ask.parse_args(), random.Random(11)
    print("share  truth within the frame  missed  several  mean error  mean size of the error")
    for share in SHARES:
        errors, truths, missed, several = [], [], 0, 0
        for _ in range(asked.count):
            scene = random_scene(rng, random_person(rng), share=share)
            faces, truth = find_faces(draw_scene(scene, asked.size)), Box(*head_box(scene)).share
            missed, several = missed + (not faces), several + (len(faces) > 1)
            truths.append(truth)
            if faces:
                errors.append(faces[0].share - truth)
        error, size = np.mean(errors), np.mean(np.abs(errors))
        print(
            f"{share:5.0%}  {np.mean(truths):22.1%}  {missed:6}  {several:7}"
            f"  {error:+10.1%}  {size:22.1%}"
        )


if __name__ == "__main__":
    main()
