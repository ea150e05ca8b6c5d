"""How the judge knows the sample subjects and their lookalikes, looked at once for all lessons:
python -m sdnb.mini.recipe.line_ups

To be written again after a change of the studio, the autoencoder or the judge; a test compares.
"""

from safetensors.torch import save_file

from sdnb.evaluation.lineup import MEMBERS, READY, SAMPLES, embed_members
from sdnb.files import write_atomically
from sdnb.mini.judge import load_judge
from sdnb.mini.subjects import lookalikes
from sdnb.models.loading import load_model

STYLES = {"person": {"photo": "mini", "cartoon": "cartoon"}, "product": {"photo": "mini"}}


def write() -> None:
    """Write the file that `evaluation.line_up` reads."""
    judge, known = load_judge(), {}
    for of, styles in STYLES.items():
        members = (SAMPLES[of], *lookalikes(SAMPLES[of], MEMBERS - 1))
        for style, base in styles.items():
            known[f"{of}, {style}"] = embed_members(members, load_model(base), judge, style)
    write_atomically(READY, lambda aside: save_file(known, aside))


if __name__ == "__main__":
    write()
