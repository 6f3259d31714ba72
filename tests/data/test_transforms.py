import numpy as np
import pytest
import torch

from fashion_sweep.config.data_source import Size
from fashion_sweep.data.transforms import augmented_view, centre_view, resized_size, to_model_range
from tests.conftest import noise_image

STUDY = Size(height=512, width=360, shorter_side=368)


def test_deepfashion_images_are_resized_as_in_the_study():
    assert resized_size(750, 1101, STUDY) == (368, 540)


@pytest.mark.parametrize(("width", "height"), [(1200, 400), (400, 1200), (360, 512), (10, 10)])
def test_the_crop_always_fits(width, height):
    new_width, new_height = resized_size(width, height, STUDY)
    assert new_width >= 360
    assert new_height >= 512
    assert min(new_width, new_height) >= 368


def test_a_view_is_a_function_of_seed_name_and_number():
    image = noise_image(60, 90)
    size = Size(height=64, width=48, shorter_side=60)
    views = [augmented_view(image, size, 0, "a.jpg", number) for number in range(12)]
    again = augmented_view(image, size, 0, "a.jpg", 5)
    assert np.array_equal(views[5].pixels, again.pixels)
    assert views[5].corner == again.corner
    assert len({view.corner for view in views}) > 6
    assert all(view.pixels.shape == (64, 48, 3) for view in views)


def test_the_corner_is_where_the_crop_was_taken():
    image = noise_image(60, 90)
    size = Size(height=64, width=48, shorter_side=60)
    pixels = np.array(image)
    for number in range(8):
        view = augmented_view(image, size, 0, "a.jpg", number)
        top, left = view.corner
        straight = pixels[top : top + 64, left : left + 48]
        mirrored = pixels[:, ::-1][top : top + 64, left : left + 48]
        assert np.array_equal(view.pixels, straight) or np.array_equal(view.pixels, mirrored)


def test_the_evaluation_view_is_the_centre():
    size = Size(height=64, width=48, shorter_side=48)
    image = noise_image(48, 80)
    assert np.array_equal(centre_view(image, size).pixels, np.array(image)[8:72])


def test_pixels_become_minus_one_to_one():
    pixels = np.array([[[0, 128, 255]]], dtype=np.uint8)
    assert torch.allclose(to_model_range(pixels).flatten(), torch.tensor([-1.0, 1 / 255, 1.0]), atol=1e-6)
