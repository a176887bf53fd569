"""Write the weights of LPIPS and DISTS into a folder, for ``tfar evaluate --weights FOLDER``.

    pip install lpips dists-pytorch torchvision
    python scripts/perceptual_weights.py FOLDER

The first two packages are those of the metrics' authors and hold their weights; torchvision downloads AlexNet and
VGG-16, trained on ImageNet, which both metrics look at images through.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tfar import backend
from tfar.cli import exit_code
from tfar.errors import TfarError
from tfar.storage import write_atomically

MEAN, STD = np.float64([0.485, 0.456, 0.406]), np.float64([0.229, 0.224, 0.225])  # what torchvision takes from RGB
KERAS_MEAN = np.float64([123.68, 116.779, 103.939])  # what Keras takes from RGB, of 255, before it turns it to BGR


def convolutions(features):
    """Kernels ``(height, width, in, out)`` and biases of the convolutions of a PyTorch network, float32."""
    layers = [layer for layer in features if hasattr(layer, "kernel_size") and hasattr(layer, "weight")]
    return [(layer.weight.detach().numpy().transpose(2, 3, 1, 0), layer.bias.detach().numpy()) for layer in layers]


def keras_vgg16(features):
    """``keras.applications.VGG16`` with the convolutions of torchvision's, whose scaling of images goes into the first.

    The two differ along the borders of the image by a thousandth, since they pad with slightly different colours.
    """
    import keras

    (kernel, bias), *others = convolutions(features)
    bias = bias + np.einsum("hwio,i->o", kernel, (KERAS_MEAN / 255 - MEAN) / STD)
    kernel = (kernel / (255 * STD)[:, None])[:, :, ::-1]
    model = keras.applications.VGG16(include_top=False, weights=None)
    model.set_weights([array for pair in [(kernel, bias), *others] for array in pair])
    return model


def arrays(package, file):
    """Name -> array of one axis in a PyTorch file that comes with a package."""
    import torch

    state = torch.load(Path(package.__file__).parent / file, map_location="cpu")
    return {name: value.numpy().ravel() for name, value in state.items()}


def run(arguments):
    backend.start()
    try:
        import DISTS_pytorch
        import lpips
        from torchvision.models import alexnet, vgg16
    except ImportError as error:
        raise TfarError(f"{error}: pip install lpips dists-pytorch torchvision") from error

    files = {"dists": arrays(DISTS_pytorch, "weights.pt")}
    for trunk in ("alex", "vgg"):
        heads = arrays(lpips, f"weights/v0.1/{trunk}.pth")
        files[f"lpips_{trunk}"] = {f"head{i + 1}": heads[f"lin{i}.model.1.weight"] for i in range(5)}
    for i, pair in enumerate(convolutions(alexnet(weights="IMAGENET1K_V1").features), start=1):
        files["lpips_alex"] |= dict(zip((f"conv{i}/kernel", f"conv{i}/bias"), pair))
    for name, content in files.items():
        write_atomically(arguments.folder / f"{name}.npz", lambda part, content=content: np.savez(part, **content))
    model = keras_vgg16(vgg16(weights="IMAGENET1K_V1").features)
    write_atomically(arguments.folder / "vgg16_notop.weights.h5", model.save_weights)
    print(*sorted(arguments.folder.iterdir()), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help="gets lpips_alex.npz, lpips_vgg.npz, dists.npz and vgg16_notop.weights.h5",
    )
    sys.exit(exit_code(run, parser.parse_args()))
