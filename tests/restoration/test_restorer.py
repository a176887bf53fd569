import keras
import numpy as np
import pytest
from helpers import NOISE_GENERATOR, SCALES, TINY, largest_difference, perturb
from keras import layers, ops
from skimage import data

from tfar import jpeg, pixels
from tfar.errors import ImageError, TfarError
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.restoration import engines
from tfar.restoration.restorer import Restorer, candidate_restorers
from tfar.restoration.tiles import SMALLEST

SIZES = [(1, 1), (1, 9), (7, 5), (16, 24)]


def channel_gains(*gains):
    """A network that multiplies each channel, in [-1, 1], by its gain."""
    image = keras.Input((None, None, len(gains)))
    convolution = layers.Conv2D(len(gains), 1)
    model = keras.Model(image, {"image": convolution(image)})
    convolution.set_weights([np.diag(np.float32(gains))[None, None], np.zeros(len(gains), "float32")])
    return model


@pytest.fixture(scope="module")
def gray_network():
    return perturb(edge_cnn(**TINY, channels=1), 4)


@pytest.fixture(scope="module", params=[3, 1], ids=["color", "luma"])
def noise_network(request):
    """A network that takes noise."""
    options = {"filters": 4, "branch_blocks": 1, "blocks": 1, "norm": "none", "residual": True}
    return perturb(proposal_network(**options, channels=request.param), 3)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shape_and_type_stay(fused_model, noise, size):
    image = noise(*size)
    restore = Restorer(fused_model)
    for given in (image, image[..., 0], image[..., :1]):
        restored = restore(given)
        assert restored.shape == given.shape
        assert restored.dtype == np.uint8


def test_color_image_is_what_the_network_gives(noise):
    image = noise(6, 7)
    restored = Restorer(channel_gains(1, 0.5, -1))(image)
    np.testing.assert_array_equal(restored[..., 0], image[..., 0])
    np.testing.assert_array_equal(restored[..., 1], np.round(image[..., 1] / 2 + 63.75))
    np.testing.assert_array_equal(restored[..., 2], 255 - image[..., 2])


def test_gray_image_is_the_mean_of_the_channels(noise):
    gray = noise(6, 7)[..., 0]
    expected = np.round((gray - 127.5) * (1 + 0.5 - 0.4) / 3 + 127.5)
    restore = Restorer(channel_gains(1, 0.5, -0.4))
    np.testing.assert_array_equal(restore(gray), expected)
    np.testing.assert_array_equal(restore(gray[..., None]), expected[..., None])


def test_result_is_clipped_not_wrapped():
    restored = Restorer(channel_gains(3, 3, 3))(np.uint8([[0, 84, 86, 127, 128, 169, 171, 255]]))
    np.testing.assert_array_equal(restored, [[0, 0, 3, 126, 129, 252, 255, 255]])


def test_mean_of_gray_is_taken_before_the_clipping():
    # 255 gives 3 and -1 twice: the mean of 1/3 is 170, that of the clipped 1, -1 and -1 would be 85.
    assert Restorer(channel_gains(3, -1, -1))(np.uint8([[255]])) == [[170]]


def test_gray_network(gray_network, noise):
    gray = noise(7, 5)[..., 0]
    expected = pixels.to_uint8(gray_network(pixels.to_float(gray[None, ..., None]))["image"])[0]
    expected = ops.convert_to_numpy(expected).astype("float32")
    np.testing.assert_allclose(np.float32(Restorer(gray_network)(gray)), expected[..., 0], atol=1)
    np.testing.assert_allclose(np.float32(Restorer(gray_network)(gray[..., None])), expected, atol=1)


# Colour images and a network for luma.


def test_a_luma_network_changes_the_luma_of_a_color_image_only(noise):
    image = np.uint8(64 + noise(6, 7) // 2)
    luma = image @ np.array([0.299, 0.587, 0.114]) - 127.5
    expected = image + (1.2 - 1) * luma[..., None]
    assert expected.min() > 0 and expected.max() < 255
    assert np.abs(expected - image).max() > 5
    np.testing.assert_allclose(np.float32(Restorer(channel_gains(1.2))(image)), expected, atol=0.51)


def test_a_luma_network_clips_the_color_it_gives():
    image = np.uint8([[[250, 200, 10], [5, 90, 240]]])
    luma = image @ np.array([0.299, 0.587, 0.114]) - 127.5
    expected = np.round(image + 3 * luma[..., None]).clip(0, 255)
    assert expected.min() == 0 and expected.max() == 255
    np.testing.assert_allclose(np.float32(Restorer(channel_gains(4))(image)), expected, atol=1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_luma_network_keeps_the_chroma(gray_network, noise, size):
    image = np.uint8(96 + noise(*size) // 4)
    restored = Restorer(gray_network)(image)
    assert (restored.shape, restored.dtype) == (image.shape, np.uint8)
    change = np.int16(restored) - image
    inside = ((restored > 0) & (restored < 255)).all(axis=-1)
    assert inside.any() and np.abs(change[inside]).max() > 2
    assert np.ptp(change[inside], axis=-1).max() <= 1  # rounding
    luma = image.astype("float32") @ np.float32([0.299, 0.587, 0.114]) / 127.5 - 1
    given = ops.convert_to_numpy(gray_network(luma[None, ..., None])["image"])[0]
    np.testing.assert_allclose(
        change[inside], np.broadcast_to((given - luma[..., None]) * 127.5, change.shape)[inside], atol=0.6
    )


def test_a_gray_image_in_three_channels_gives_what_it_gives_in_one(gray_network, noise):
    gray = noise(9, 12)[..., 0]
    restored = Restorer(gray_network)(np.stack([gray] * 3, axis=-1))
    np.testing.assert_allclose(np.float32(restored), np.stack([Restorer(gray_network)(gray)] * 3, axis=-1), atol=1)


def test_layers_of_a_fused_luma_network(noise):
    luma = {**TINY, "channels": 1}
    model = region_aware(perturb(edge_cnn(**luma), 1), perturb(texture_generator(**luma), 2))
    image = np.uint8(96 + noise(20, 17) // 4)
    restored = {layer: Restorer(model, layer)(image) for layer in ("fused", "base", "texture")}
    assert (restored["base"] != restored["texture"]).any()
    for pixels_of_layer in restored.values():
        change = np.int16(pixels_of_layer) - image
        inside = ((pixels_of_layer > 0) & (pixels_of_layer < 255)).all(axis=-1)
        assert inside.mean() > 0.5 and np.ptp(change[inside], axis=-1).max() <= 1


# Networks that take noise.


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_seed_decides_the_restoration(noise_network, noise, size):
    image = np.uint8(96 + noise(*size) // 4)
    for given in (image, image[..., 0], image[..., :1]):
        first, again, other = (Restorer(noise_network, seed=seed)(given) for seed in (5, 5, 6))
        assert (first.shape, first.dtype) == (given.shape, np.uint8)
        np.testing.assert_array_equal(first, again)
        assert (first != other).any() or size == (1, 1)  # there is but one number of noise for a single pixel
        np.testing.assert_array_equal(Restorer(noise_network)(given), Restorer(noise_network, seed=0)(given))


def test_a_restorer_gives_the_same_restoration_every_time(noise_network, noise):
    image, restore = noise(16, 24), Restorer(noise_network, seed=2)
    first = restore(image)
    restore(noise(7, 5))
    np.testing.assert_array_equal(restore(image), first)


def test_the_noise_is_that_of_the_seed(noise_network, noise):
    image = np.uint8(96 + noise(7, 10)[..., : noise_network.inputs[0].shape[-1]].squeeze() // 4)
    drawn = np.random.default_rng(8).standard_normal((1, 4, 5, 1), dtype="float32")
    batch = pixels.to_float(image.reshape(1, 7, 10, -1))
    expected = ops.convert_to_numpy(pixels.to_uint8(noise_network([batch, ops.convert_to_tensor(drawn)])["image"]))[0]
    restored = Restorer(noise_network, seed=8)(image)
    np.testing.assert_allclose(np.float32(restored), expected.reshape(image.shape), atol=1)
    assert np.abs(np.int16(restored) - Restorer(noise_network, seed=9)(image)).max() > 1


def test_a_restorer_knows_what_its_network_takes(noise_network, gray_network, fused_model):
    assert Restorer(noise_network).takes_noise
    assert not Restorer(gray_network).takes_noise and not Restorer(fused_model).takes_noise
    assert (Restorer(gray_network).channels, Restorer(fused_model).channels) == (1, 3)


def test_the_seed_is_nothing_to_a_network_without_noise(fused_model, noise):
    image = noise(9, 7)
    np.testing.assert_array_equal(Restorer(fused_model, seed=1)(image), Restorer(fused_model, seed=2)(image))


def test_negative_seeds_are_refused(noise_network):
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        Restorer(noise_network, seed=-1)


# Layers, and what is refused.


def test_layers_of_a_fused_network(fused_model, noise):
    images = np.stack([noise(20, 17), noise(20, 17)])
    outputs = {
        name: ops.convert_to_numpy(pixels.to_uint8(value))
        for name, value in fused_model(pixels.to_float(images)).items()
    }
    for layer in ("fused", "base", "texture"):
        for image, expected in zip(images, outputs[layer]):
            difference = np.int16(Restorer(fused_model, layer)(image)) - expected
            assert abs(difference).max() <= 1
            assert (difference == 0).mean() > 0.99
    assert (outputs["base"] != outputs["texture"]).mean() > 0.5
    by_default = np.float32(Restorer(fused_model)(images[0]))
    np.testing.assert_allclose(by_default, Restorer(fused_model, "fused")(images[0]), atol=1)


def test_network_with_one_image_has_no_layers(gray_network):
    with pytest.raises(ValueError, match="edge_cnn is a single network and has no layer 'base'"):
        Restorer(gray_network, "base")
    with pytest.raises(ValueError, match="edge_cnn is a single network, which has no layers"):
        Restorer(gray_network).layers(np.zeros((9, 9), np.uint8))


def test_unknown_layer(fused_model):
    with pytest.raises(ValueError, match="layer must be one of fused, base, texture, got 'mask'"):
        Restorer(fused_model, "mask")


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
def test_other_types_are_refused(fused_model, dtype):
    with pytest.raises(ImageError, match="uint8"):
        Restorer(fused_model)(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 4), (1, 4, 4, 3), (0, 4), (4, 0, 3)])
def test_other_shapes_are_refused(fused_model, shape):
    with pytest.raises(ImageError, match=r"\(H, W, 3\), got"):
        Restorer(fused_model)(np.zeros(shape, np.uint8))


# Tiles.


def whole_and_tiled(model, image, layer=None, **options):
    """An image restored at once and in the smallest tiles, with the number of these."""
    counts = []
    at_once = Restorer(model, layer, tile=max(*image.shape[:2], SMALLEST), **options)
    tiled = Restorer(model, layer, tile=SMALLEST, **options)
    return at_once(image), tiled(image, progress=lambda done, total: counts.append((done, total))), len(counts)


@pytest.mark.parametrize(("size", "count"), [((365, 514), 6), ((320, 321), 2), ((3, 700), 4), ((700, 1), 4)])
def test_tiles_leave_no_seam(fused_model, noise, size, count):
    image = noise(*size)
    for given in (image, image[..., 0]):
        whole, tiled, tiles = whole_and_tiled(fused_model, given)
        assert tiles == count
        assert largest_difference(tiled, whole) <= 1 and np.mean(tiled != whole) < 1e-3
    whole, tiled = (Restorer(fused_model, tile=side).layers(image) for side in (1000, SMALLEST))
    for layer in ("fused", "base", "texture"):
        assert largest_difference(tiled[layer], whole[layer]) <= 1
    assert np.mean(tiled["mask"] != whole["mask"]) < 0.001


@pytest.mark.parametrize("size", [(365, 514), (3, 394), (1, 363)])
def test_tiles_take_their_part_of_the_noise(noise_network, noise, size):
    whole, tiled, tiles = whole_and_tiled(noise_network, noise(*size), seed=3)
    assert tiles > 1
    assert largest_difference(tiled, whole) <= 1


def test_tiles_of_a_luma_network(gray_network, noise):
    whole, tiled, tiles = whole_and_tiled(gray_network, noise(365, 334))
    assert tiles == 4
    assert largest_difference(tiled, whole) <= 1


def test_tiles_of_a_network_of_several_scales(noise):
    whole, tiled, _ = whole_and_tiled(perturb(edge_cnn(**SCALES), 1), noise(397, 467))
    assert largest_difference(tiled, whole) <= 1 and np.mean(tiled != whole) < 1e-3


def test_errors_at_the_seams_are_no_larger_than_elsewhere(fused_model):
    original = np.uint8(data.astronaut()[:391, :500])
    restored = Restorer(fused_model, tile=SMALLEST)(jpeg.compress(original, 20))
    errors = np.square(np.float64(restored) - original).mean(axis=-1)
    columns = (192, 256)
    at_seams = np.mean([errors[:, c - 1 : c + 1].mean() for c in columns])
    beside = np.mean([errors[:, c - 9 : c + 9].mean() for c in columns])
    assert at_seams < 1.1 * beside


def test_progress_counts_the_tiles(fused_model, noise):
    steps = []
    Restorer(fused_model, tile=SMALLEST)(noise(364, 364), progress=lambda *step: steps.append(step))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_too_large_tiles_are_halved(fused_model, noise, monkeypatch):
    image, steps = noise(364, 365), []
    expected = Restorer(fused_model, tile=512)(image)
    restorer = Restorer(fused_model, tile=512)
    run = engines.KerasEngine.run

    def short_of_memory(engine, layer, part, drawn):
        if max(part.shape) > SMALLEST:
            raise MemoryError
        return run(engine, layer, part, drawn)

    monkeypatch.setattr(engines.KerasEngine, "run", short_of_memory)
    assert largest_difference(restorer(image, progress=lambda *step: steps.append(step)), expected) <= 1
    assert steps[-1] == (4, 4)


def test_no_memory_for_the_smallest_tiles(fused_model, noise, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(engines.KerasEngine, "run", fail)
    with pytest.raises(TfarError, match="not enough memory for parts of 320x320 pixels"):
        Restorer(fused_model)(noise(300, 300))


# The grid of a JPEG that was cropped.


@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (7, 0)])
def test_the_network_sees_the_grid_from_its_start(noise, offset):
    seen = []
    restorer = Restorer(channel_gains(1, 1, 1))
    run = restorer._engine.run
    restorer._engine.run = lambda layer, part, drawn: seen.append(part) or run(layer, part, drawn)
    image = noise(20, 19)
    np.testing.assert_array_equal(restorer(image, offset=offset), image)
    [part] = seen
    top, left = (-place % 8 for place in offset)
    assert part.shape == (20 + top, 19 + left, 3)
    np.testing.assert_array_equal(pixels.as_levels(part[top:, left:]), image)
    np.testing.assert_array_equal(pixels.as_levels(part[:top, left:]), image[top:0:-1])


def test_a_cropped_image_gives_what_the_whole_one_gives(noise):
    model, image = perturb(edge_cnn(**SCALES), 1), noise(364, 374)
    whole = Restorer(model)(image)[13:, 22:][80:, 80:]
    cropped, off_grid = (Restorer(model)(image[13:, 22:], offset=o)[80:, 80:] for o in ((3, 2), (0, 0)))
    assert largest_difference(cropped, whole) <= 1
    assert largest_difference(off_grid, whole) > 1
    tiled = Restorer(model, tile=float(SMALLEST))(image[13:, 22:], offset=(3.0, 2))[80:, 80:]
    assert largest_difference(tiled, whole) <= 1


@pytest.mark.parametrize("offset", [(8, 0), (0, -1), (1, 2, 3), (1.5, 2), None, 3])
def test_offsets_beyond_a_block_are_refused(single_model, noise, offset):
    with pytest.raises(ValueError, match="offset must be two numbers from 0 to 7"):
        Restorer(single_model)(noise(9, 9), offset=offset)


# Depth and dials.


def test_sixteen_bits_have_what_lies_between_the_levels(noise):
    image = noise(6, 7)
    restored = Restorer(channel_gains(1, 0.5, 3))(image, depth=16)
    assert restored.dtype == np.uint16
    given = image / 127.5 - 1
    expected = (np.clip(given * [1, 0.5, 3], -1, 1) + 1) * 32767.5
    np.testing.assert_allclose(np.float64(restored), expected, atol=0.51)
    with pytest.raises(ValueError, match="depth must be 8 or 16, got 12"):
        Restorer(channel_gains(1))(image, depth=12)


def test_strength_is_how_much_of_the_change_is_taken(noise):
    image = noise(6, 7)
    changed = np.clip(np.float64(image) * 0.5 + 63.75, 0, 255)
    for strength in (0, 0.25, 1):
        restored = Restorer(channel_gains(0.5, 0.5, 0.5), strength=strength)(image)
        np.testing.assert_allclose(np.float64(restored), image + strength * (changed - image), atol=0.51)


def test_texture_goes_from_base_to_fused(fused_model, noise):
    image = noise(20, 17)
    found = Restorer(fused_model).layers(image)
    inside = found["mask"] > 0
    assert 0.05 < inside.mean() < 0.95
    for texture in (0, 0.5, 1):
        restored = np.float64(Restorer(fused_model, texture=texture)(image))
        expected = found["base"] + texture * inside[..., None] * (np.float64(found["texture"]) - found["base"])
        clipped = (found["base"] % 255 == 0) | (found["texture"] % 255 == 0)
        np.testing.assert_allclose(restored[~clipped], expected[~clipped], atol=1.51)


def test_without_texture_its_network_is_not_computed(fused_model, noise, monkeypatch):
    asked = []
    run = engines.KerasEngine.run
    monkeypatch.setattr(
        engines.KerasEngine, "run", lambda self, layer, *given: asked.append(layer) or run(self, layer, *given)
    )
    base = Restorer(fused_model, "base")(noise(9, 9))
    np.testing.assert_array_equal(Restorer(fused_model, texture=0)(noise(9, 9)).shape, base.shape)
    Restorer(fused_model)(noise(9, 9))
    assert asked == ["base", "base", "fused"]


@pytest.mark.parametrize("size", [(16, 24), (9, 12), (1, 5)])
def test_the_ensemble_is_the_mean_over_eight_ways(single_model, noise, size):
    image = noise(*size)
    ways = []
    for way in range(8):
        turned = np.rot90(image, way % 4)
        turned = turned[:, ::-1] if way >= 4 else turned
        offset = (turned.shape[0] % 8, turned.shape[1] % 8) if way else (0, 0)
        restored = np.float64(Restorer(single_model)(np.ascontiguousarray(turned), offset=offset, depth=16))
        ways.append(np.rot90(restored[:, ::-1] if way >= 4 else restored, -(way % 4)))
    assert np.ptp(ways, axis=0).max() > 257
    inside = (np.min(ways, axis=0) > 0) & (np.max(ways, axis=0) < 65535)
    assert inside.any()
    ensemble = np.float64(Restorer(single_model, ensemble=True)(image, depth=16))
    np.testing.assert_allclose(ensemble[inside], np.mean(ways, axis=0)[inside], atol=20)


def test_the_ensemble_in_tiles(noise_network, noise):
    whole, tiled, tiles = whole_and_tiled(noise_network, noise(334, 365), ensemble=True)
    assert tiles == 4
    assert largest_difference(tiled, whole) <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texture": 1.5}, "texture must be from 0 to 1, got 1.5"),
        ({"texture": float("nan")}, "texture must be from 0 to 1, got nan"),
        ({"strength": -0.1}, "strength must be from 0 to 1, got -0.1"),
        ({"tile": 100}, "tile must be a whole number of at least 320, got 100"),
        ({"tile": 400.5}, "tile must be a whole number of at least 320, got 400.5"),
        ({"layer": "base", "texture": 0.5}, "texture is of the fused layer; region_aware gives the layer 'base'"),
        ({"engine": "tpu"}, "engine must be one of litert, keras, got 'tpu'"),
        ({"engine": "litert"}, "the engine litert takes the name of a preset or a file, not a model"),
    ],
)
def test_dials_out_of_range(fused_model, options, message):
    with pytest.raises(ValueError, match=message):
        Restorer(fused_model, **options)


def test_texture_needs_layers(single_model):
    with pytest.raises(ValueError, match="texture is of the fused layer; edge_cnn gives the layer 'image'"):
        Restorer(single_model, texture=0.5)


def test_candidates_are_of_a_network_with_noise(single_model, noise):
    model = perturb(proposal_network(**NOISE_GENERATOR), 3)
    image = noise(12, 15)
    restorers = candidate_restorers(model, range(4, 6), strength=0.5)
    for seed, restorer in zip((4, 5), restorers, strict=True):
        np.testing.assert_array_equal(restorer(image), Restorer(model, seed=seed, strength=0.5)(image))
    with pytest.raises(TfarError, match=f"{single_model.name} gives one restoration of an image; a one-to-many"):
        candidate_restorers(single_model, range(2))
