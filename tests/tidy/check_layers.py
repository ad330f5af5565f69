# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Includes point downwards, and a foreign library is named by its one layer only.

The allowed arrows are read from the tciafs_layer(...) lines of CMakeLists.txt, so that the build and
this check cannot differ.
"""

import re

import checker

LAYER_LINE = re.compile(r"^tciafs_layer\((\w+)\s+DEPS\s*([\w\s]*?)\s*FOREIGN", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

# What betrays a foreign library in an include, and the layer it belongs to.
FOREIGN = [
    (re.compile(r"^(xxhash|openssl/|spdlog/)"), "util"),
    (re.compile(r"^(fmt/|tl/)"), None),  # part of util's face: allowed everywhere
    (re.compile(r"^curl/"), "http"),
    (re.compile(r"^lmdb\.h"), "store"),
    (re.compile(r"^(zlib\.h|zip\.h|isa-l|igzip_lib|crc\.h)"), "zip"),
    (re.compile(r"^nlohmann/"), "nbia"),
    (re.compile(r"^(fuse|fuse3/|fuse_)"), "fuse"),
    (re.compile(r"^CLI/"), "cli"),
]


def read_layers(cmake_text):
    """{layer: set of layers it may include, itself among them}."""
    direct = {name: deps.split() for name, deps in LAYER_LINE.findall(cmake_text)}
    allowed = {}

    def close(name):
        if name not in allowed:
            allowed[name] = {name}
            for below in direct[name]:
                allowed[name] |= close(below)
        return allowed[name]
    for name in direct:
        close(name)
    return allowed


def layer_of_include(path, layers):
    parts = path.split("/")
    if parts[0] == "tciafs" and len(parts) > 2:
        return parts[1]
    return parts[0] if len(parts) > 1 and parts[0] in layers else None


def problems_of(layer, text, layers):
    for include in INCLUDE.findall(text):
        target = layer_of_include(include, layers)
        if target is not None:
            if target not in layers[layer]:
                yield f"{layer} includes {include}"
            continue
        for pattern, owner in FOREIGN:
            if pattern.match(include) and owner not in (None, layer):
                yield f"{layer} includes {include}, which belongs to {owner}"


def check(root, _program):
    layers = read_layers((root / "CMakeLists.txt").read_text())
    if len(layers) < 10:
        return [f"only {len(layers)} layers found in CMakeLists.txt"]
    problems = []
    for layer in layers:
        folders = [root / "src" / layer, root / "include" / "tciafs" / layer]
        files = [file for folder in folders for file in sorted(folder.glob("*"))]
        if not files:
            problems.append(f"layer {layer} is empty")
        for file in files:
            problems += [f"{file.relative_to(root)}: {problem}"
                         for problem in problems_of(layer, file.read_text(), layers)]
    return problems


if __name__ == "__main__":
    checker.run(check, "includes follow the layers")
