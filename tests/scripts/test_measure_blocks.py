import argparse

import measure_blocks
import numpy as np
import pytest
from helpers import perturb, save_image

from tfar.models.argan import unet_generator
from tfar.models.galteri import galteri_generator


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (galteri_generator(filters=4, blocks=2, channels=3), ["block1", "block2"]),
        (unet_generator(filters=4, blocks=1, depth=2), ["down1_block1", "down2_block1", "up1_block1"]),  # of luma
    ],
    ids=["one scale", "luma"],
)
def test_every_block_has_a_row(tmp_path, capsys, network, names):
    save_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8))
    perturb(network, 1).save(tmp_path / "network.keras")
    options = argparse.Namespace(network=[str(tmp_path / "network.keras")], data=tmp_path, quality=[10], limit=1)
    measure_blocks.run(options)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[1] for row in rows if row[1] != "all of the coarser scales"] == ["nothing", *names]
    assert len({row[2] for row in rows}) >= len(names) + 1
