"""Several photos at once."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def in_threads(function: Callable, items: Sequence, progress: bool) -> list:
    """The results in order. Threads are enough: Pillow decodes and scales outside Python's lock."""
    from tqdm.auto import tqdm  # in a notebook it imports ipywidgets

    # Opening a picture silences warnings for a while, which threads would do across each other:
    # around all of them it is done once, and undone. miniters: no update by tqdm's own thread.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")
        results = pool.map(function, items)
        bar = tqdm(results, total=len(items), unit="photo", miniters=1, disable=not progress)
        return list(bar)
