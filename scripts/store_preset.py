"""Store a trained run as a preset: its network, with weights in 16 bits, and its recipe.

    python scripts/store_preset.py runs/general general

Writes ``model.keras``, ``recipe.json``, and ``metrics.json`` with the SHA-256 of the model and no scores yet: those are
scripts/score_presets.py's. The weights are rounded to float16, which halves the file; whoever loads it gets float32.
"""

import argparse
import dataclasses
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

from tfar import backend, presets, recipes
from tfar.cli import exit_code
from tfar.storage import write_atomically

WEIGHTS = "model.weights.h5"


def run(options):
    backend.start()
    from tfar.training.runs import Run

    trained, folder = Run(options.run), presets.presets_folder() / options.name
    recipe = dataclasses.replace(trained.recipe, data=dataclasses.replace(trained.recipe.data, source="photos"))
    write_atomically(folder / "recipe.json", lambda part: part.write_text(recipes.to_json(recipe)))
    write_atomically(folder / "model.keras", lambda part: store(trained.network(), part))
    noted = json.dumps({"model_sha256": presets.digest(folder / "model.keras")}) + "\n"
    write_atomically(folder / "metrics.json", lambda part: part.write_text(noted))
    print(folder)
    return 0


def store(model, file: Path):
    """Write a Keras model as a ``.keras`` file with weights in float16."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "model.keras"
        model.save(full)
        with zipfile.ZipFile(full) as whole, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as stored:
            for name in whole.namelist():
                content = whole.read(name)
                stored.writestr(name, halved(content) if name == WEIGHTS else content)


def halved(content: bytes) -> bytes:
    """An HDF5 file whose float32 arrays are float16."""
    import h5py
    import numpy as np

    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as whole, h5py.File(buffer, "w") as stored:
        stored.attrs.update(whole.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                array = item[()]
                copied = stored.create_dataset(name, data=np.float16(array) if array.dtype == np.float32 else array)
            else:
                copied = stored.require_group(name)
            copied.attrs.update(item.attrs)

        whole.visititems(copy)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("name", metavar="NAME", help="of the preset")
    sys.exit(exit_code(run, parser.parse_args()))
