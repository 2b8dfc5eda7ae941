"""A layout for tl-advise: every image has its label in a text file beside it, `1.png` in `1.label`."""

from advisor.hooks import LabelledFile, Listing, hookimpl


class Sidecar:
    """Images with a .label file beside each."""

    name = "sidecar"

    def recognise(self, path, options):
        return path.is_dir() and any(path.glob("*.label"))

    def read(self, path, options):
        labels = {file.stem: file.read_text(encoding="utf-8").strip() for file in path.glob("*.label")}
        images = [file for file in sorted(path.iterdir()) if file.suffix != ".label" and file.stem in labels]
        entries = tuple(LabelledFile(path=file.name, label=labels[file.stem]) for file in images)
        return Listing(root=path, layout=self.name, entries=entries)

    def example(self, folder):
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            name = ("dark", "light")[number % 2]
            Image.new("RGB", (32, 32), (20 * number + 9,) * 3).save(folder / f"{number}.png")
            (folder / f"{number}.label").write_text(name)
        return folder


@hookimpl
def advisor_layouts():
    return [Sidecar()]
