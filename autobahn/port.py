#!/usr/bin/env python3
"""Ports Autobahn|TestSuite, which is published for Python 2 only, to Python 3. `setup` runs it.

    port.py WHEEL PACKAGES

WHEEL is the published file of autobahntestsuite 25.10.1; its hash is checked. PACKAGES is the site-packages folder of a
virtual environment with `requirements.txt`. The ported package is written there, and `python -m autobahntestsuite` runs
it.

Each source file is ported in three steps:

1. It is read as latin-1. A byte string of Python 2 becomes a str with one character for each byte, so that no payload
   of any case needs a change; see py2str.py.
2. 2to3 rewrites the syntax.
3. The edits below are applied. Each edit says how many times it must apply. Any other number fails the port.

No case is added, left out or changed.
"""

import hashlib
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

warnings.simplefilter("ignore")  # fissix itself causes warnings

from fissix.refactor import RefactoringTool  # noqa: E402

SHA256 = "b57ee6b22de624a03256878ad453c9897d2ad7ee08a4c38b35ee2847637e1383"
PACKAGE = "autobahntestsuite"

# Files that do not test the WebSocket protocol are left out: WAMP and benchmarks.
LEFT_OUT = re.compile(
    r"(wampcase/|templates/|"
    r"(wamp.*|wsperf.*|testdb|testrun|serializer|massconnect|broadcast|rinterfaces|interfaces)\.py$)"
)

FIXERS = "dict except has_key import ne numliterals print raise unicode xrange".split()

# Files, pattern, replacement, and the number of times that the edit must apply (or least and most).
EDITS = [
    # Remove the use of files that are left out. The second half of report.py is for WAMP and needs jinja2.
    (r"__init__\.py$", r"(?m)^import (broadcast|massconnect)\n", "", 2),
    (r"wstest\.py$", r"(?m)^import (broadcast|massconnect|serializer)\n", "", 3),
    (r"report\.py$", r"(?m)^import jinja2\n", "", 1),
    (r"report\.py$", r"(?s)\nREPORT_DIR_PERMISSIONS =.*", "\n", 1),
    # Remove pkg_resources, which setuptools no longer has.
    (r"wstest\.py$", r"import os, json, sys, pkg_resources", "import os, json, sys", 1),
    (r"fuzzing\.py$", r", textwrap, pkg_resources", ", textwrap", 1),
    (
        r"case/case12_x_x\.py$",
        r"import copy, os, pkg_resources, hashlib, binascii",
        "import copy, os, hashlib\nfrom .. import _py2str\nfrom .._py2str import binascii",
        1,
    ),
    (r"(fuzzing|case/case12_x_x)\.py$", r"\bpkg_resources\.resource_filename\(", "_py2str.resource_filename(", (1, 3)),
    # In Python 3, (object, Case) has no consistent method resolution order.
    (r"case/case(6_x_x|7_7_X|7_9_X|9_7_X|12_x_x)\.py$", r"\(object, Case, \)", "(Case, )", (1, 2)),
    # Divide integers.
    (r"case/case10_1_1\.py$", r"len\(self\.payload\) / self", "len(self.payload) // self", 1),
    # 9.9.1 is not in the suite's list of cases, and uses features that Python 3 does not have.
    (r"case/__init__\.py$", r"(?m)^from \.case9_9_1 import \*\n", "", 1),
    # Convert where cases handle bytes.
    (r"case/case[67]_\w+\.py$", r"(?m)^import binascii$", "from .._py2str import binascii", (0, 2)),
    (r"case/case6_x_x\.py$", r"v\.validate\(vss\[:i\]\)", 'v.validate(vss[:i].encode("latin-1"))', 1),
    (r"case/case12_x_x\.py$", r"(def onMessage\(self, msg, binary\):\n)", r"\1   msg = _py2str.b(msg)\n", 1),
    # Convert where the fuzzer handles bytes: the protocol, the wire log, the report.
    (
        r"fuzzing\.py$",
        r"import os, json, binascii, time, textwrap",
        "import os, json, time, textwrap\nfrom . import _py2str\nfrom ._py2str import binascii",
        1,
    ),
    (r"fuzzing\.py$", r"(?m)^class FuzzingProtocol:", "class FuzzingProtocol(_py2str.ByteBoundary):", 1),
    (r"fuzzing\.py$", r"(def asciiLogData\(.*\n)", r"\1   data = _py2str.s(data)\n", 1),
    # Python 2 accepted surrogates in UTF-8. This affects only the wire log.
    (
        r"fuzzing\.py$",
        r"return dd\.decode\('utf8', errors = 'replace' if replace else 'strict'\)",
        "return _py2str.b(dd).decode('utf8', 'replace' if replace else 'surrogatepass')",
        1,
    ),
    (r"fuzzing\.py$", r"p = ''\.join\(payload\)", "p = b''.join(payload)", 1),
    (r"fuzzing\.py$", r'("localCloseReason": )(self\.localCloseReason)', r"\1_py2str.s(\2)", 1),
    (r"fuzzing\.py$", r'("http(?:Request|Response)": )(self\.http_\w+_data)( if)', r"\1_py2str.s(\2)\3", 2),
    (r"fuzzing\.py$", r"f = open\(", "f = _py2str.open_report(", 4),
    (r"fuzzing\.py$", r"json\.dumps\(case,", "json.dumps(_py2str.case_text(case),", 1),
    (r"fuzzing\.py$", r"ll\.encode\('utf8'\)", "_py2str.utf8(ll)", 1),
    (r"fuzzing\.py$", r'f\.write\((\(.*\))\.encode\("utf-8"\)\)', r"f.write(_py2str.utf8\1)", 1),
    (r"fuzzing\.py$", r"putChild\('cwd'", "putChild(b'cwd'", 1),
    # Let the suite's server listen on the address of its URL, not on all addresses of the machine.
    (r"fuzzing\.py$", r"listenWS\(factory, sslContext\)", "listenWS(factory, sslContext, interface=factory.host)", 1),
]

# The protocol library runs on Python 3, except for one division. The other edit accepts surrogates in a close reason, as
# Python 2 did, so that reports are the same. By then the reason has already been found invalid.
LIBRARY_FILE = "autobahn/websocket/protocol.py"
LIBRARY_EDITS = [
    ("range(payload_len / len(payload))", "range(payload_len // len(payload))"),
    ("reasonRaw.decode('utf8')", "reasonRaw.decode('utf8', 'surrogatepass')"),
]

MAIN = "from autobahntestsuite.wstest import run\n\nrun()\n"


def main(wheel, packages):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"port: {wheel} is not the expected wheel (sha256 {digest})")
    target = packages / PACKAGE
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder)
        unpack(wheel, original)
        port(original, target)
    shutil.copyfile(Path(__file__).with_name("py2str.py"), target / "_py2str.py")
    (target / "__main__.py").write_text(MAIN)
    mend_library(packages / LIBRARY_FILE)


def unpack(wheel, target):
    """Unpacks the package into a folder, without the files that are left out."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            name = entry.removeprefix(f"{PACKAGE}/")
            if name != entry and not name.endswith("/") and not LEFT_OUT.match(name):
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))


def port(original, target):
    """Ports every file below `original` to the same path below `target`."""
    tool = RefactoringTool([f"fissix.fixes.fix_{fixer}" for fixer in FIXERS])
    used = set()
    for path in sorted(path for path in original.rglob("*") if path.is_file()):
        name = path.relative_to(original).as_posix()
        ported = target / name
        ported.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".py":
            shutil.copyfile(path, ported)
            continue
        # The fixer of imports reads the names of the files beside `path`.
        text = str(tool.refactor_string(read(path), str(path)))
        text = "# -*- coding: latin-1 -*-\n" + edit(name, text, used)
        ported.write_text(text, encoding="latin-1", newline="\n")
    unused = set(range(len(EDITS))) - used
    if unused:
        sys.exit(f"port: edits {sorted(unused)} matched no file")


def read(path):
    """Returns a source file with one character for each byte, without its declaration of the encoding."""
    text = path.read_bytes().decode("latin-1").replace("\r\n", "\n")
    first, newline, rest = text.partition("\n")
    if re.match(r"#.*coding[:=]", first):
        first = "#"
    text = first + newline + rest
    return text if text.endswith("\n") else text + "\n"


def edit(name, text, used):
    """Applies the edits for a file, and adds their numbers to `used`."""
    for number, (files, pattern, replacement, times) in enumerate(EDITS):
        if not re.match(files, name):
            continue
        used.add(number)
        text, count = re.subn(pattern, replacement, text)
        least, most = times if isinstance(times, tuple) else (times, times)
        if not least <= count <= most:
            sys.exit(f"port: {name}: edit {number} ({pattern}) applied {count} times")
    return text


def mend_library(path):
    text = path.read_text(encoding="utf-8")
    for old, new in LIBRARY_EDITS:
        if text.count(old) + text.count(new) != 1:
            sys.exit(f"port: {path} is not of the expected version")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
