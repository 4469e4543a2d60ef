"""Histories of a dataset: random changes, done by lancelet and by pylance, and a model of what the table must then be.

A model is a list of rows in plain Python. Every row has an ``id`` of its own, by which rows are compared: compaction may move them.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.compact.run import compact_files

if TYPE_CHECKING:
    import lancelet

TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "list": pa.list_(pa.int16()),
    "struct": pa.struct([("x", pa.int32()), ("y", pa.string())]),
}


@dataclass
class Model:
    """What the table must be.

    Attributes
    ----------
    columns
        Name -> name of the type, in order.
    rows
        By id.
    next_id
        The next id.
    """

    columns: dict[str, str]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    next_id: int = 0

    def schema(self, names: list[str] | None = None) -> pa.Schema:
        wanted = list(self.columns) if names is None else names
        return pa.schema([(name, TYPES[self.columns[name]]) for name in wanted])

    def table(self) -> pa.Table:
        rows = [self.rows[key] for key in sorted(self.rows)]
        return pa.Table.from_pylist(rows, schema=self.schema())


def value(chance: random.Random, kind: str) -> Any:
    """Return a value of a type; structs are never null, because version 2.0 cannot say so."""
    if kind == "struct":
        return {"x": chance.choice([None, chance.randrange(100)]), "y": chance.choice([None, "u", "vw"])}
    if chance.random() < 0.2:
        return None
    return {
        "int32": lambda: chance.randrange(-1000, 1000),
        "int64": lambda: chance.randrange(-(10**6), 10**6),
        "double": lambda: chance.randrange(100) / 4,
        "string": lambda: "s" * chance.randrange(4) + str(chance.randrange(50)),
        "list": lambda: [chance.choice([None, chance.randrange(9)]) for _ in range(chance.randrange(4))],
    }[kind]()


@dataclass
class Step:
    """A change, ready to be done by either side.

    Attributes
    ----------
    name
        What it is.
    code
        Statements for pylance, in terms of ``ds``, ``lance`` and `values`.
    ours
        The same by lancelet; ``None``: only pylance does it.
    values
        What the statements refer to.
    """

    name: str
    code: str
    ours: Any
    values: dict[str, Any] = field(default_factory=dict)


class History:
    """A dataset that changes, and its model version by version."""

    def __init__(self, seed: int, root: str) -> None:
        self.chance = random.Random(seed)
        self.root = root
        self.storage = self.chance.choice(["2.0", "2.1", "2.2"])
        self.stable = self.chance.random() < 0.5
        self.model = Model({"id": "int64", "v": "int32", "s": "string"})
        self.models: dict[int, Model] = {}
        self._names = 0

    def new_rows(self, names: list[str]) -> pa.Table:
        """Add rows with values in some columns to the model, and return them."""
        model, rows = self.model, []
        for _ in range(self.chance.choice([1, 3, 20, 200])):
            row = {name: value(self.chance, model.columns[name]) for name in names if name != "id"}
            row["id"] = model.next_id
            model.next_id += 1
            rows.append(row)
            model.rows[row["id"]] = {name: row.get(name) for name in model.columns}
        return pa.Table.from_pylist(rows, schema=model.schema(names))

    def step(self) -> Step:
        """Choose a change, and do it to the model."""
        kinds = {
            "append": 6,
            "append_some": 2,
            "delete": 5,
            "delete_range": 2,
            "add_computed": 2,
            "add_null": 1,
            "drop": 2,
            "rename": 1,
            "cast": 1,
            "overwrite": 1,
            "restore": 1,
            "config": 1,
            "compact": 2,
            "update": 1,
            "upsert": 1,
        }
        while True:
            kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
            made = getattr(self, f"_{kind}")()
            if made is not None:
                return made

    def _append(self) -> Step:
        return self._insert(self.new_rows(list(self.model.columns)))

    def _append_some(self) -> Step | None:
        structs = {name for name, kind in self.model.columns.items() if kind == "struct"}
        names = [
            name for name in self.model.columns if name in structs | {"id"} or self.chance.random() < 0.6
        ]
        return self._insert(self.new_rows(names))

    def _insert(self, table: pa.Table) -> Step:
        return Step("append", "ds.insert(table)", lambda ds: ds.insert(table), {"table": table})

    def _delete(self) -> Step:
        modulus = self.chance.choice([2, 3, 7, 50])
        rest = self.chance.randrange(modulus)
        self._forget(lambda row: row["id"] % modulus == rest)
        return self._by_predicate(f"id % {modulus} = {rest}")

    def _delete_range(self) -> Step:
        start = self.chance.randrange(self.model.next_id + 1)
        stop = start + self.chance.choice([0, 5, 100, 1000])
        self._forget(lambda row: start <= row["id"] < stop)
        return self._by_predicate(f"id >= {start} AND id < {stop}")

    def _forget(self, is_gone: Any) -> None:
        model = self.model
        model.rows = {key: row for key, row in model.rows.items() if not is_gone(row)}

    def _by_predicate(self, predicate: str) -> Step:
        return Step(
            f"delete {predicate}",
            "ds.delete(predicate)",
            lambda ds: ds.delete(predicate),
            {"predicate": predicate},
        )

    def _name(self) -> str:
        self._names += 1
        return f"c{self._names}"

    def _add_computed(self) -> Step:
        name, model = self._name(), self.model
        model.columns[name] = "int64"
        for row in model.rows.values():
            row[name] = row["id"] * 2 + 1
        expressions = {name: "id * 2 + 1"}
        return Step(
            f"add {name}",
            "ds.add_columns(expressions)",
            lambda ds: ds.add_columns(expressions),
            {"expressions": expressions},
        )

    def _add_null(self) -> Step:
        name, model = self._name(), self.model
        kind = self.chance.choice(["int32", "double", "string", "list"])
        model.columns[name] = kind
        for row in model.rows.values():
            row[name] = None
        new = pa.field(name, TYPES[kind])
        return Step(f"add null {name}", "ds.add_columns(new)", lambda ds: ds.add_columns(new), {"new": new})

    def _some_column(self, *kinds: str) -> str | None:
        names = [
            name for name, kind in self.model.columns.items() if name != "id" and (kind in kinds or not kinds)
        ]
        return self.chance.choice(names) if names else None

    def _drop(self) -> Step | None:
        name = self._some_column()
        if name is None:
            return None
        del self.model.columns[name]
        for row in self.model.rows.values():
            del row[name]
        return Step(
            f"drop {name}", "ds.drop_columns([name])", lambda ds: ds.drop_columns([name]), {"name": name}
        )

    def _rename(self) -> Step | None:
        old = self._some_column()
        if old is None:
            return None
        new, model = self._name(), self.model
        model.columns = {new if name == old else name: kind for name, kind in model.columns.items()}
        for key, row in model.rows.items():
            model.rows[key] = {new if name == old else name: found for name, found in row.items()}
        change = {"path": old, "name": new}
        return self._alter(f"rename {old} to {new}", change)

    def _cast(self) -> Step | None:
        name = self._some_column("int32")
        if name is None:
            return None
        self.model.columns[name] = "int64"
        return self._alter(f"cast {name}", {"path": name, "data_type": pa.int64()})

    def _alter(self, what: str, change: dict[str, Any]) -> Step:
        return Step(what, "ds.alter_columns(change)", lambda ds: ds.alter_columns(change), {"change": change})

    def _overwrite(self) -> Step:
        model = self.model
        model.rows = {}
        model.columns = {"id": "int64", "v": "int32", self._name(): "list", self._name(): "struct"}
        table = self.new_rows(list(model.columns))
        return Step(
            "overwrite",
            "ds.insert(table, mode='overwrite')",
            lambda ds: ds.insert(table, mode="overwrite"),
            {"table": table},
        )

    def _restore(self) -> Step | None:
        version = self.chance.choice(list(self.models))
        next_id = self.model.next_id
        self.model = copy.deepcopy(self.models[version])
        self.model.next_id = next_id

        def ours(ds: lancelet.Dataset) -> None:
            ds.checkout_version(version).restore()

        return Step(
            f"restore {version}", "ds.checkout_version(version).restore()", ours, {"version": version}
        )

    def _config(self) -> Step:
        values = {"k": str(self.chance.randrange(9))}
        return Step(
            "config", "ds.update_config(values)", lambda ds: ds.update_config(values), {"values": values}
        )

    def _compact(self) -> Step:
        mode = self.chance.choice(["reencode", "hybrid", "try_binary_copy"])
        options = {"target_rows_per_fragment": self.chance.choice([20, 300, 1 << 20])}
        return Step(
            f"compact {mode}",
            "ds.optimize.compact_files(**options)",
            lambda ds: compact_files(ds, compaction_mode=mode, **options),
            {"options": options},
        )

    def _update(self) -> Step | None:
        name = self._some_column("int32", "int64")
        if name is None:
            return None
        for row in self.model.rows.values():
            if row["id"] % 5 == 1:
                row[name] = None if row[name] is None else 7
        where = f"id % 5 = 1 AND {name} IS NOT NULL"
        return Step(
            f"update {name}", "ds.update({name: '7'}, where=where)", None, {"name": name, "where": where}
        )

    def _upsert(self) -> Step | None:
        model = self.model
        if len(model.rows) < 2:
            return None
        changed = self.chance.sample(list(model.rows), min(5, len(model.rows)))
        rows = []
        for key in [*changed, model.next_id]:
            row = {name: value(self.chance, kind) for name, kind in model.columns.items()}
            row["id"] = key
            model.rows[key] = row
            rows.append(row)
        model.next_id += 1
        table = pa.Table.from_pylist(rows, schema=model.schema())
        code = "ds.merge_insert('id').when_matched_update_all().when_not_matched_insert_all().execute(table)"
        return Step("upsert", code, None, {"table": table})
