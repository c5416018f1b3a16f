"""Small files in the form of CIFAR-5m's parts and of CIFAR-10, and a server of them that misbehaves as told."""

import hashlib
import pickle
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from torchvision.datasets import CIFAR10

COUNT = 60
FILE = 20  # images of one of CIFAR-10's files; there are five for training and one for the test


def part(number, count=COUNT):
    """Images and labels of a part, unlike those of any other."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.permutation(np.arange(count) % 10)


def write(folder, *numbers, name="part{}.npz", dtype=np.int64, compressed=False, count=COUNT):
    """Writes these parts."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        x, y = part(number, count)
        save = np.savez_compressed if compressed else np.savez
        save(folder / name.format(number), X=x, Y=y.astype(dtype))


def cifar10_file(number):
    """Images, (20, 32, 32, 3), and labels of a file of CIFAR-10, unlike those of any other."""
    rng = np.random.default_rng(100 + number)
    return rng.integers(0, 256, (FILE, 32, 32, 3), dtype=np.uint8), rng.permutation(np.arange(FILE) % 10)


def write_cifar10(folder):
    """Writes a small CIFAR-10 in torchvision's format; gives its class's attributes that hold names and checksums."""
    (folder / CIFAR10.base_folder).mkdir(parents=True)

    def put(name, content):
        file = folder / CIFAR10.base_folder / name
        file.write_bytes(pickle.dumps(content))
        return [name, hashlib.md5(file.read_bytes()).hexdigest()]

    batches = []
    for number in range(6):
        x, y = cifar10_file(number)
        rows = {"data": x.transpose(0, 3, 1, 2).reshape(FILE, -1), "labels": y.tolist()}
        batches.append(put("test_batch" if number == 5 else f"data_batch_{number + 1}", rows))
    filename, md5 = put("batches.meta", {"label_names": [str(label) for label in range(10)]})
    meta = {"filename": filename, "key": "label_names", "md5": md5}
    return {"train_list": batches[:5], "test_list": batches[5:], "meta": meta}


def damage(file, array):
    """Changes one byte in the middle of an array of an archive, whose checksum then is another."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(f"{array}.npy")
        with archive.open(info) as stream:
            middle = stream.read()[-32:]
    content = file.read_bytes()
    place = content.index(middle, info.header_offset)
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


class Server:
    """A server of a folder's files.

    Attributes:
        faults: what is done to the next requests, each "drop N" (close after N bytes), a status such
            as "503", "other" (contents of another length), or "" for nothing.
        ranges: whether requests for a part of a file are understood.
        asked: the range of every request so far.
    """

    def __init__(self, folder):
        self.folder, self.faults, self.ranges, self.asked = folder, [], True, []
        self.says_length = True
        self.url = ""

    def answer(self, handler):
        self.asked.append(handler.headers.get("Range"))
        fault = self.faults.pop(0) if self.faults else ""
        file = self.folder / handler.path.lstrip("/")
        status = int(fault) if fault.isdecimal() else 200 if file.is_file() else 404
        if status != 200:
            handler.send_error(status)
            return
        content = file.read_bytes() + (b"more" if fault == "other" else b"")
        whole = len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
        if wanted and self.ranges:
            begin = int(wanted[1])
            content = content[begin : int(wanted[2]) + 1 if wanted[2] else None]
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {begin}-{begin + len(content) - 1}/{whole}")
        else:
            handler.send_response(200)
        if self.says_length:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: int(fault.split()[1])] if fault.startswith("drop") else content)


@contextmanager
def serving(folder):
    """A server of the folder on this machine, in a thread."""
    files = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                files.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        files.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
