import keras
import numpy as np
import pytest

from tfar.training.averaging import update_average


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])


@pytest.mark.parametrize("decay", [0.15, 0.5, 0.999])
def test_the_average_follows_all_weights_slowly_once_it_has_begun(decay):
    averaged, trained = network(0), network(1)
    expected = averaged.get_weights()
    for step in (1, 2, 100):
        trained.set_weights([w + step for w in trained.get_weights()])
        update_average(averaged, trained, decay, step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, trained.get_weights())]
        for found, wanted in zip(averaged.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
