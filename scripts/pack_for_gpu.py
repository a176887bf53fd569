"""Pack a training into one small folder for a machine that has PyTorch and a GPU and nothing else.

    python scripts/pack_for_gpu.py pack region-aware:general.base --data PHOTOS
    python scripts/pack_for_gpu.py pack region-aware:general.base --data PHOTOS --initial RUN --megabytes 60

The folder holds the recipe, the package, as many photographs as fit (chosen by a hash of their names; those to train on
and those held out in two folders, as a training on PHOTOS would have them), the weights to start from, those of the
feature network, the wheels of Keras and its needs (pip downloads them), and train_packed.py.
On the other machine:

    cd pack && python -m pip install --no-deps --target site wheels/*.whl
    KERAS_BACKEND=torch PYTHONPATH=site:. python train_packed.py --minutes 8 --out OUT
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from train_packed import HELD_OUT, TRAINING

from tfar import backend
from tfar.cli import exit_code
from tfar.errors import TfarError
from tfar.storage import write_atomically, write_text

KERAS = (  # and what it needs, but for NumPy, which PyTorch brings
    "keras",
    "absl-py",
    "rich",
    "markdown-it-py",
    "mdurl",
    "pygments",
    "namex",
    "h5py",
    "optree",
    "ml-dtypes",
    "packaging",
    "pillow",
)
MEGABYTE = 1 << 20


def download_wheels(folder: Path, python: str):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    command += ["--python-version", python, "--dest", str(folder)]
    command += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]
    for wanted in (["--no-deps", *KERAS], ["pydantic"]):
        if subprocess.run([*command, *wanted]).returncode:
            raise TfarError("pip could not download the wheels; --no-wheels leaves them out")


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def copy_images(source: str, folder: Path, budget: int, recipe) -> list[int]:
    """Copy photographs to train on and held-out ones until the budget is spent; returns how many of each."""
    from tfar.data.sources import load_split

    parts = load_split(source, recipe.data.validation, recipe.data.patch)
    photographs = sum(map(len, parts))
    return [
        copy_part(part, folder / name, budget * len(part) / photographs)
        for name, part in zip((TRAINING, HELD_OUT), parts, strict=True)
    ]


def copy_part(images, folder: Path, budget: float) -> int:
    folder.mkdir(parents=True)
    for count, image in enumerate(images):
        file = Path(image.name)
        budget -= file.stat().st_size
        if budget < 0:
            return count
        name = f"{count}-{file.parent.name}-{file.name}"  # others may have the rest of it
        shutil.copyfile(file, folder / name)
    return len(images)


def run(arguments):
    backend.start()
    from tfar import recipes
    from tfar.models import named_recipe
    from tfar.training.region_aware import network_of
    from tfar.training.runs import copy_matching_weights
    from tfar.training.trainer import Trainer

    out = Path(arguments.out)
    if out.exists():
        raise TfarError(f"{out}: exists already; choose another folder")
    recipe = recipes.override(named_recipe(arguments.recipe), [f"data.source={TRAINING}", *arguments.assignments])
    if not recipe.data.validation:
        raise TfarError("data.validation is 0, and a packed training needs photographs that are held out")
    trainer = Trainer(recipe)
    if arguments.initial:
        copy_matching_weights(network_of(arguments.initial), trainer.generator)
    write_atomically(out, lambda part: fill(part, trainer, arguments))
    training, held_out = (len([*(out / name).iterdir()]) for name in (TRAINING, HELD_OUT))
    print(f"{out}: {training} photographs to train on, {held_out} held out, {size(out) / MEGABYTE:.1f} MB")


def fill(folder: Path, trainer, arguments):
    """Write what the other machine needs into a new folder."""
    import tfar
    from tfar import recipes

    recipe = trainer.recipe
    folder.mkdir()
    if not arguments.no_wheels:
        download_wheels(folder / "wheels", arguments.python)
    shutil.copytree(
        Path(tfar.__file__).parent, folder / "tfar", ignore=shutil.ignore_patterns("__pycache__", "saved_models")
    )
    shutil.copyfile(Path(__file__).with_name("train_packed.py"), folder / "train_packed.py")
    trainer.generator.save_weights(folder / "initial.weights.h5")
    if trainer.features is not None:
        recipe = recipes.override(recipe, ["features.weights=features.weights.h5"])
        [vgg] = (layer for layer in trainer.features.layers if layer.weights)
        vgg.save_weights(folder / "features.weights.h5")
    write_text(folder / "recipe.json", recipes.to_json(recipe))
    training, held_out = copy_images(arguments.data, folder, arguments.megabytes * MEGABYTE - size(folder), recipe)
    if not (training and held_out):
        raise TfarError(
            f"{arguments.data}: {training} photographs to train on and {held_out} held out fit into"
            f" {arguments.megabytes} MB; raise --megabytes or give more of them"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="FOLDER", help="to make")
    parser.add_argument("recipe", metavar="SYSTEM:RECIPE[.PART]", help="such as region-aware:general.base")
    parser.add_argument("--data", required=True, metavar="PHOTOS", help="a folder of photographs")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", dest="assignments")
    parser.add_argument("--initial", metavar="RUN", help="a run, preset or .keras file to start from")
    parser.add_argument("--megabytes", type=int, default=60, help="size of the folder, at most (default: %(default)s)")
    parser.add_argument("--python", default="3.12", metavar="VERSION", help="of the other machine (default: 3.12)")
    parser.add_argument("--no-wheels", action="store_true", help="Keras is there already")
    sys.exit(exit_code(run, parser.parse_args()))
