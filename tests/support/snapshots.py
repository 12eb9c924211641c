"""What the official client puts into snapshots. In: a JSON file with a list of cases; out: JSON with files and hash of each."""
import json
import sys
import zipfile
from pathlib import Path

from azure.ai.ml._utils import _asset_utils as assets
from azure.ai.ml.entities._assets import Code
from azure.ai.ml.entities._component._additional_includes import AdditionalIncludes
from azure.ai.ml.entities._component.code import ComponentIgnoreFile


def listed(path, rules):
    return sorted(name for _, name in assets.get_upload_files_from_folder(path, ignore_file=rules))


def members(archive):
    with zipfile.ZipFile(archive) as opened:
        return [[each.filename, each.is_dir(), opened.read(each).decode("utf-8")] for each in opened.infolist()]


def snapshot(case):
    base = Path(case["base"])
    kind, text = case["kind"], case.get("code")
    if kind == "data":
        path = (base / text).resolve()
        rules = assets.get_ignore_file(path)
        return listed(path, rules), assets.get_object_hash(path, rules)
    if kind == "includes":
        made = AdditionalIncludes(origin_code_value=text, base_path=base, configs=case["includes"])
        with made.merge_local_code_and_additional_includes() as folder:
            code = Code(base_path=base, path=folder, ignore_file=ComponentIgnoreFile(folder))
            names = listed(code.path, code._ignore_file)
            # The bytes of an archive that the client makes depend on the times of files: its members are told in place of the hash.
            archives = {name: members(folder / name) for name in names if name.endswith(".zip")}
            return names, archives or code._hash_sha256
    own = {"ignore_file": ComponentIgnoreFile(base / text)} if kind == "component" else {}
    code = Code(base_path=base, path=text, **own)
    return listed(code.path, code._ignore_file), code._hash_sha256


results = []
for case in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    files, digest = snapshot(case)
    results.append({"files": files, "hash": digest})
print(json.dumps(results))
