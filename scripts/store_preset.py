"""Store a trained run as a preset: its network, with rounded weights, and its recipe.

    python scripts/store_preset.py runs/general general
    python scripts/store_preset.py runs/base general --texture runs/texture --mask '{"threshold": 2, "feather": 5}'
    python scripts/store_preset.py runs/gan galteri-gan-q10-40 --from galteri-mse-q10-40 --share 0.9

The second form fuses the networks of two trainings, region-aware.base and region-aware.texture. The third goes only a
share of the way from the network that the training started from: network interpolation (Wang et al., ESRGAN, 2018,
Section 3.4), which gives back much of the PSNR that a perceptual training cost, for little of what it brought.
Writes ``model.keras``, ``recipe.json``, and ``metrics.json`` with the SHA-256 of the model and no scores yet: those are
scripts/score_presets.py's. The weights are rounded to float16, kernels to the first 6 of its 10 bits of mantissa, and
compressed: the file takes a third of float32's, and whoever loads it gets float32.
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
from tfar.commands.arguments import share
from tfar.errors import TfarError
from tfar.storage import write_atomically, write_text

WEIGHTS = "model.weights.h5"
KERNEL_BITS = 6  # of the mantissa; what that changes: docs/training.md
FLOAT16_BITS = 10


def run(options):
    if options.share < 1 and not options.start:
        raise TfarError("--share needs --from")
    backend.start()
    from tfar.models.region_aware import region_aware
    from tfar.training.region_aware import network_of
    from tfar.training.runs import Run

    folder, trained = presets.presets_folder() / options.name, Run(options.run)
    recipe, network = without_paths(trained.recipe), trained.network()
    if options.start:
        interpolate(network_of(options.start), network, options.share)
    if options.texture:
        texture, mask = Run(options.texture), recipes.from_json(recipes.Mask, options.mask)
        network = region_aware(network, texture.network(), mask)
        recipe = recipes.RegionAware(
            base=recipe, texture=without_paths(texture.recipe), mask=mask, texture_from_base=True
        )
    write_text(folder / "recipe.json", recipes.to_json(recipe))
    write_atomically(folder / "model.keras", lambda part: store(network, part))
    noted = json.dumps({"model_sha256": presets.digest(folder / "model.keras")}) + "\n"
    write_text(folder / "metrics.json", noted)
    print(folder)
    return 0


def interpolate(start, network, share: float):
    """Give a network the weights at a share, 0 to 1, of the way to it from the network that it was trained from."""
    from tfar.training.runs import copy_matching_weights

    last = network.get_weights()
    if kept := copy_matching_weights(start, network):
        raise TfarError(f"{start.name} has no weights for {', '.join(kept)}")
    first = network.get_weights()
    network.set_weights([(1 - share) * before + share * after for before, after in zip(first, last)])


def without_paths(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe without the folders of the machine that trained."""
    data = dataclasses.replace(recipe.data, source="photos")
    features = recipe.features and dataclasses.replace(recipe.features, weights=Path(recipe.features.weights).name)
    return dataclasses.replace(recipe, data=data, features=features)


def store(model, file: Path):
    """Write a Keras model as a ``.keras`` file with rounded weights."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "model.keras"
        model.save(full)
        with zipfile.ZipFile(full) as whole, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as stored:
            for name in whole.namelist():
                content = whole.read(name)
                stored.writestr(name, shortened(content) if name == WEIGHTS else content)


def rounded(weights):
    """Weights as float16, kernels with the bits of the mantissa that are kept.

    Args:
        weights: a float32 array; with two axes or more it is a kernel.
    """
    import numpy as np

    half = weights.astype(np.float16)
    if half.ndim < 2:
        return half
    dropped = FLOAT16_BITS - KERNEL_BITS
    bits = half.view(np.uint16) + np.uint16(1 << (dropped - 1))  # what carries raises the exponent, as it should
    return (bits >> dropped << dropped).view(np.float16)


def shortened(content: bytes) -> bytes:
    """An HDF5 file with its float32 arrays rounded, and compressed, high and low bytes apart."""
    import h5py
    import numpy as np

    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as whole, h5py.File(buffer, "w") as stored:
        stored.attrs.update(whole.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                array = item[()]
                if array.dtype == np.float32:
                    array = rounded(array)
                filters = {"chunks": array.shape, "shuffle": True, "compression": "gzip"} if array.size > 1 else {}
                copied = stored.create_dataset(name, data=array, **filters)
            else:
                copied = stored.require_group(name)
            copied.attrs.update(item.attrs)

        whole.visititems(copy)
    return buffer.getvalue()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("name", metavar="NAME", help="of the preset")
    parser.add_argument(
        "--from", dest="start", metavar="NETWORK", help="run or preset from which it was trained, see --share"
    )
    parser.add_argument("--share", type=share, default=1.0, metavar="S", help="of the way from there (%(default)s)")
    parser.add_argument("--texture", metavar="RUN", help="of the texture network")
    parser.add_argument("--mask", metavar="JSON", default="{}", help="its parameters; default: the paper's")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(run, parser().parse_args()))
