"""What the live display costs a training in a notebook: both run side by side in one kernel.

    python tests/benchmarks/live_display.py

Starts a Jupyter kernel, trains the mini model in it, and times every call of the display against
the step before it. Prints the display's share of a step.
"""

import nbformat
from nbclient import NotebookClient

CELL = """
import tempfile, time
import sdnb
from sdnb.training import progress

config = sdnb.preset("person_mini").replace(photos=sdnb.sample_photos(), views_per_photo=40)
spent, show = [], progress.Live.show

def timed(self, step):
    begun = time.perf_counter()
    show(self, step)
    spent.append(time.perf_counter() - begun)

progress.Live.show, begun = timed, time.perf_counter()
run = sdnb.train(config, tempfile.mkdtemp())
whole = time.perf_counter() - begun
print(f"{len(spent)} steps; the display took {sum(spent):.3f} s of {whole:.1f} s, "
      f"{sum(spent) / whole:.2%}; its longest call {1000 * max(spent):.1f} ms")
"""


def main() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=600).execute()
    for output in notebook.cells[0].outputs:
        if output.output_type == "stream" and output.name == "stdout":
            print(output.text)


if __name__ == "__main__":
    main()
