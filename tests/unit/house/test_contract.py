"""The .proto documents every field, and the committed stubs say what it says (in full: ``make proto-check``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

from flowgimbal.v1 import stabilizer_pb2

PROTO = Path(__file__).parents[3] / "proto/flowgimbal/v1/stabilizer.proto"
NUMERIC = {"uint32", "uint64", "int64", "float", "double"}
LINE = re.compile(r"(?P<label>optional |repeated )?(?P<type>\w+ )?(?P<name>\w+) = (?P<number>\d+);")


@dataclass(frozen=True)
class Entry:
    """One field or enum value of the .proto text; ``type`` is empty for an enum value."""

    parent: str
    name: str
    number: int
    type: str
    label: str
    comment: str
    parent_comment: str


def entries(text: str) -> list[Entry]:
    found, comment, parent, parent_comment, depth = [], "", "", "", 0
    for line in map(str.strip, text.splitlines()):
        if line.startswith("//"):
            comment += line[2:] + " "
            continue
        if head := re.match(r"(message|enum) (\w+) \{", line):
            parent, parent_comment = head[2], comment
        elif entry := LINE.match(line):
            label, type_ = (entry[1] or "").strip(), (entry[2] or "").strip()
            found.append(
                Entry(parent, entry["name"], int(entry["number"]), type_, label, comment.strip(), parent_comment)
            )
        depth += line.count("{") - line.count("}")
        comment = ""
    assert depth == 0
    return found


ENTRIES = entries(PROTO.read_text())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.parent}.{entry.name}")
def test_has_a_comment(entry: Entry) -> None:
    assert entry.comment


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.type in NUMERIC], ids=lambda entry: f"{entry.parent}.{entry.name}"
)
def test_number_says_its_unit_or_range(entry: Entry) -> None:
    said_once_for_all = entry.name.endswith("_ns") and "Unit of *_ns" in entry.parent_comment
    assert said_once_for_all or re.search(r"\b(Unit|Range)\b", entry.comment)


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.parent == "StreamConfig"], ids=lambda entry: entry.name
)
def test_setting_says_its_default(entry: Entry) -> None:
    assert re.search(r"\bdefault\b", entry.comment, re.IGNORECASE)
    assert (entry.label == "optional") == (entry.type in NUMERIC), "a scalar left unset is the server's to choose"


def fields(message: Descriptor) -> set[tuple[str, str, int, str, str]]:
    return {
        (
            message.name,
            field.name,
            field.number,
            next(t.name for t in (field.message_type, field.enum_type) if t)
            if field.type in (11, 14)
            else TYPES[field.type],
            "repeated"
            if field.is_repeated
            else "optional"
            if field.has_presence and field.containing_oneof and field.containing_oneof.name.startswith("_")
            else "",
        )
        for field in message.fields
    }


TYPES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 8: "bool", 9: "string", 12: "bytes", 13: "uint32"}


def test_stubs_say_what_the_proto_says() -> None:
    file = stabilizer_pb2.DESCRIPTOR
    generated = set().union(*(fields(message) for message in file.message_types_by_name.values()))
    generated |= {
        (enum.name, value.name, value.number, "", "")
        for enum in file.enum_types_by_name.values()
        for value in enum.values
    }
    assert generated == {(e.parent, e.name, e.number, e.type, e.label) for e in ENTRIES}


def test_services_are_those_promised() -> None:
    services = stabilizer_pb2.DESCRIPTOR.services_by_name.values()
    assert {
        service.full_name: {
            m.name: (m.input_type.name, m.output_type.name, m.client_streaming, m.server_streaming)
            for m in service.methods
        }
        for service in services
    } == {
        "flowgimbal.v1.StabilizerService": {
            "Stream": ("StreamRequest", "StreamResponse", True, True),
            "GetServerInfo": ("GetServerInfoRequest", "GetServerInfoResponse", False, False),
        },
        "flowgimbal.v1.ObserverService": {
            "Watch": ("WatchRequest", "WatchResponse", False, True),
            "Tune": ("TuneRequest", "TuneResponse", False, False),
        },
    }
