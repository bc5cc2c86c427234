"""`imgfx plugins test` of a file in a folder that is named relative to the working folder."""

GOOD = '''"""Turn an image into its negative."""

from imgfx.api import hookimpl, image_filter


@image_filter("negative")
def negative(image):
    """Turn an image into its negative."""
    return image.with_pixels(1 - image.floats.clip(0, 1))


@hookimpl
def imgfx_stages():
    return [negative]
'''


def test_other_processes_find_it_too(imgfx, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "negative.py").write_text(GOOD)
    ended = imgfx("--plugins-dir", "mine", "plugins", "test", "negative")
    assert ended.code == 0, ended.out.decode() + ended.err
