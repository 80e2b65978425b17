"""Google's own message types as a judge: a line `Type<TAB>JSON` in, a line with a JSON list of what is wrong out."""

import json
import sys

from google.cloud import compute_v1
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseError


def enums(message):
    """The words of each field that is a text on the wire and an enum in the description, by the field's name."""
    # The first of each, `UNDEFINED_...`, is what nobody writes.
    known = lambda enum: {value.name for value in enum.values if value.number != 0}
    words = {enum.name.lower(): known(enum) for enum in message.enum_types}
    texts = (field for field in message.fields if field.type == FieldDescriptor.TYPE_STRING)
    return {field.name: words[field.json_name.lower()] for field in texts if field.json_name.lower() in words}


def walk(message, at, wrong):
    """Compute Engine's enums are texts in the types themselves, which take any: the words are held against the enum."""
    words = enums(message.DESCRIPTOR)
    for field, value in message.ListFields():
        place = f"{at}.{field.json_name}"
        if field.name in words:
            for text in [value] if isinstance(value, str) else value:
                if text not in words[field.name]:
                    wrong.append(f"{place} is {text}, none of {', '.join(sorted(words[field.name]))}")
        elif field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        elif field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE:
                for key, one in value.items():
                    walk(one, f"{place}[{key}]", wrong)
        else:
            for one in value if hasattr(value, "append") else [value]:
                walk(one, place, wrong)


def judge(name, text):
    kind = getattr(compute_v1, name, None)
    if kind is None:
        return [f"compute_v1 has no {name}"]
    try:
        message = kind.from_json(text, ignore_unknown_fields=False)
    except ParseError as error:
        return [" ".join(f"{name}: {error}".split())[:400]]
    wrong = []
    walk(kind.pb(message), name, wrong)
    return wrong


for line in sys.stdin:
    print(json.dumps(judge(*line.rstrip("\n").split("\t", 1))), flush=True)
