# SPDX-License-Identifier: Apache-2.0
"""schema.py CONFIG_SCHEMA EXAMPLE: the published schema and the reader take and refuse the same: the example, which has every key of the schema, and each
file that differs from it in one place: a key spelt otherwise, a value of another type, a number out of range, a word that is not known."""
import copy
import json
import os
import subprocess
import sys
import tomllib

import jsonschema

program, example = sys.argv[1:]
schema = json.loads(subprocess.run([program], capture_output=True, check=True).stdout)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
with open(example, "rb") as file:
    config = tomllib.load(file)


def toml(value):
    """As TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def places(value, path=()):
    """Every place in the tree."""
    if path:
        yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(one, path + (key,))


def put(tree, path, value):
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def missing(schema, value, path="the file"):
    """Keys of the schema that the example has nowhere."""
    if "anyOf" in schema:
        schema = schema["anyOf"][-1]
    if isinstance(value, list):
        value = value[0] if value else {}
        return missing(schema.get("items", {}), value, path)
    if not isinstance(value, dict):
        return []
    if isinstance(schema.get("additionalProperties"), dict):
        merged = {}
        for one in value.values():
            merged.update({key: part for key, part in one.items() if not (isinstance(merged.get(key), dict))})
        return missing(schema["additionalProperties"], merged, path + ".NAME")
    found = []
    for key, part in schema.get("properties", {}).items():
        found += missing(part, value[key], f"{path}.{key}") if key in value else [f"{path}.{key}"]
    return found


variants = [("the example itself", config)]
for path in places(config):
    at = config
    for key in path[:-1]:
        at = at[key]
    value = at[path[-1]]
    others = [12345678901, "~", True, [True], {"~": 1}, -1, 1.5]
    for other in others:
        changed = copy.deepcopy(config)
        put(changed, path, other)
        variants.append((f"{path} = {other!r}", changed))
    if isinstance(path[-1], str):
        changed = copy.deepcopy(config)
        tree = changed
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1] + "~"] = tree.pop(path[-1])
        variants.append((f"{path} renamed", changed))

names = []
for index, (_, changed) in enumerate(variants):
    names.append(os.path.abspath(f"{index}.toml"))
    with open(names[-1], "w") as file:
        file.write("".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in changed.items()))
answers = subprocess.run([program, "--check"], input="\n".join(names) + "\n", capture_output=True, text=True, check=True).stdout.splitlines()

# What a schema cannot say, and the reader refuses for its meaning.
MEANING = ("there is no", "come after one another", "TCP needs", "is no zone", "no id of Electricity Maps", "time zone", "is not longer than", "window \"", "jobs.app.every",
           "policies.nightly.every", "jobs.db.every", "jobs.web.every", "no feed", "is no time zone", "\"~\" is no", "is longer than ten years", "tzdata")
wrong = []
if len(answers) != len(variants):
    wrong.append(f"{len(answers)} answers to {len(variants)} files")
for (what, changed), answer in zip(variants, answers):
    by_schema = validator.is_valid(changed)
    if by_schema and answer != "good" and not any(word in answer for word in MEANING):
        wrong.append(f"{what}: the schema takes it, the reader says: {answer}")
    if not by_schema and answer == "good":
        wrong.append(f"{what}: the reader takes it, the schema says: {next(validator.iter_errors(changed)).message[:200]}")
if answers[:1] != ["good"]:
    wrong.append(f"the example: {answers[:1]}")
# Jobs have all keys of policies: one of either is enough.
unused = missing(schema, config)
unused = [key for key in unused if not key.startswith(("the file.jobs.NAME.", "the file.policies.NAME.")) or
          {key.replace("jobs", "policies"), key.replace("policies", "jobs")} <= set(unused)]
if unused:
    wrong.append(f"the example does not have {', '.join(unused)}")
print("\n".join(wrong[:20]) or f"- {len(variants)} files, {sum(answer == 'good' for answer in answers)} of them good")
sys.exit(1 if wrong else 0)
