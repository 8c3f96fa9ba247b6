"""Random entities, made through the control plane's RPCs, and what their rows hold by FlyteAdmin's rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flytelite.server.admin.identifiers import join

from ..rpcs.rows import changed
from ..rpcs.server import Server
from ..rpcs.words import (
    CREATE_EXECUTION,
    CREATE_PLAN,
    CREATE_TASK,
    CREATE_WORKFLOW,
    DOMAIN,
    INTEGER,
    ONE,
    PROJECT,
    SCOPE,
    named,
)
from .columns import COLUMNS, LISTS
from .drafts import RUNNING, SCHEDULES
from .keys import execution_columns, full_row, identifier, stamp, time_columns, version_columns
from .model import Row, Value
from .timeline import BEGIN, Timeline

ELSEWHERE = "staging"
"""The domain of tasks that run by themselves: what is generated for them is not listed among the others."""


class Universe:
    """A world that was filled from a draft, and its rows by entity."""

    def __init__(self, server: Server, draft: Mapping[str, Any]) -> None:
        self._timeline = Timeline(server, draft["steps"])
        self.world = self._timeline.world
        self._do = self._timeline.call
        self.rows: dict[str, list[Row]] = {entity: [] for entity in COLUMNS}
        self._make_projects(draft)
        self._make_tasks(draft)
        self._make_workflows(draft)
        self._make_plans(draft)
        self._make_executions(draft)
        self._make_nodes(draft)
        self._make_attempts(draft)
        self._make_children(draft)
        self._make_signals(draft)

    def rows_of(self, method: str, columns: Collection[str]) -> list[Row]:
        """What a list without filters shows; ``columns`` are those that its filters name."""
        match method.rpartition("/")[2]:
            case "ListNodeExecutionsForTask":
                return self.children
            case "ListActiveLaunchPlans":
                return [row for row in self.rows["launch_plan"] if row.columns["state"] == 1]
            case "ListExecutions" if "state" not in columns:
                return [row for row in self.rows["execution"] if row.columns["state"] == 0]
            case "ListProjects" if not columns:
                return [row for row in self.rows["project"] if row.columns["state"] != 1]
        return self.rows[next(list.entity for list in LISTS if list.method == method)]

    def insert(self, method: str, letter: str, number: int) -> None:
        """Make one more of what a list shows; ``number`` is a new one, ``letter`` begins its name."""
        name = f"{letter}{number}"
        match method.rpartition("/")[2]:
            case "ListTasks" | "ListNamedEntities":
                self._do("CreateTask", changed(CREATE_TASK, id=identifier("TASK", name, "v1")))
            case "ListDescriptionEntities":
                self._do("CreateTask", changed(CREATE_TASK, id=identifier("TASK", self.described, name)))
            case "ListWorkflows":
                request = changed(CREATE_WORKFLOW, id=identifier("WORKFLOW", name, "v1"))
                request["spec"]["template"]["nodes"][0]["task_node"]["reference_id"] = self.task_ids[0]
                self._do("CreateWorkflow", request)
            case "ListLaunchPlans" | "ListActiveLaunchPlans":
                id = identifier("LAUNCH_PLAN", name, "v1")
                workflow = identifier("WORKFLOW", *self.rows["workflow"][0].name)
                self._do("CreateLaunchPlan", {"id": id, "spec": {"workflow_id": workflow}})
                self._do("UpdateLaunchPlan", {"id": id, "state": "ACTIVE"})
            case "ListExecutions":
                plan = identifier("LAUNCH_PLAN", *self.rows["launch_plan"][0].name)
                request = changed(CREATE_EXECUTION, name=name, spec__launch_plan=plan, inputs={}, spec__tags=["k", "t"])
                self._do("CreateExecution", request)
            case "ListNodeExecutions" | "ListNodeExecutionsForTask":
                event = {"parent_task_metadata": {"id": self.parent_attempt}} if method.endswith("Task") else {}
                self._run("CreateNodeEvent", {"id": {"execution_id": self.run, "node_id": name}, **event}, [RUNNING])
            case "ListTaskExecutions":
                place = self.parent_attempt["node_execution_id"]
                event = {"task_id": self.task_ids[0], "parent_node_execution_id": place, "retry_attempt": 10 + number}
                self._run("CreateTaskEvent", event, [RUNNING])
            case "ListProjects":
                self._do("RegisterProject", {"project": {"id": name, "name": name}})
            case "ListSignals":
                id = {"signal_id": name, "execution_id": self.run}
                self._do("GetOrCreateSignal", {"id": id, "type": {"simple": "BOOLEAN"}})

    def request(self, method: str) -> dict[str, Any]:
        """What asks for all rows of an entity, but for its limit."""
        match method.rpartition("/")[2]:
            case "ListNodeExecutions":
                return {"workflow_execution_id": self.run}
            case "ListNodeExecutionsForTask":
                return {"task_execution_id": self.parent_attempt}
            case "ListTaskExecutions":
                return {"node_execution_id": {"execution_id": self.run, "node_id": "n0"}}
            case "ListSignals":
                return {"workflow_execution_id": self.run}
            case "ListProjects":
                return {}
            case "ListActiveLaunchPlans":
                return SCOPE
            case "ListNamedEntities":
                return {**SCOPE, "resource_type": "TASK"}
            case "ListDescriptionEntities":
                return {"resource_type": "TASK", "id": named(self.described)}
        return {"id": SCOPE}

    def _add(self, entity: str, name: Any, columns: Mapping[str, Value], **joined: list[Row]) -> None:
        self.rows[entity].append(full_row(entity, name, columns, **joined))

    def _make_projects(self, draft: Mapping[str, Any]) -> None:
        first = {"identifier": PROJECT, "name": PROJECT, "description": f"{PROJECT} description", "state": 0}
        self._add("project", PROJECT, {**first, **time_columns(BEGIN)})
        for id, (name, description, state) in draft["projects"].items():
            project = {"id": id, "name": name or id, "description": description, "state": state}
            at = self._do("RegisterProject", {"project": project})
            columns = {"identifier": id, "name": name or id, "description": description, "state": state}
            self._add("project", id, {**columns, **time_columns(at)})

    def _make_tasks(self, draft: Mapping[str, Any]) -> None:
        self.described = next(iter(draft["tasks"]))[0]
        self.task_ids = []
        entities: dict[str, dict[str, Any]] = {}
        for (name, version), (type, text) in draft["tasks"].items():
            id = {"resource_type": "TASK", **named(name), "version": version}
            description = {"short_description": text, "source_code": {"link": f"l/{text}"}}
            request = changed(CREATE_TASK, id=id, spec__description=description)
            request["spec"]["template"]["type"] = type or "python-task"
            at = self._do("CreateTask", request)
            columns = version_columns(name, version) | time_columns(at)
            texts = {"type": type or "python-task", "short_description": text}
            self._add("task", (name, version), columns | texts)
            self.task_ids.append(id)
            if name == self.described:
                link = {"resource_type": 1, "short_description": text, "link": f"l/{text}"}
                self._add("description", (name, version), columns | link)
            entities.setdefault(
                name,
                {"resource_type": 1, **named(name), "description": "", "state": 0, **time_columns(at)},
            )
        for index, description, state in draft["entities"]:
            name = list(entities)[index % len(entities)]
            request = {"resource_type": "TASK", "id": named(name)}
            at = self._do("UpdateNamedEntity", {**request, "metadata": {"description": description, "state": state}})
            kept = description or entities[name]["description"]
            entities[name] |= {"description": kept, "state": state, "updated_at": at}
        for name, columns in entities.items():
            metadata = full_row("named_entity_metadata", name, columns)
            shown = {column: columns[column] for column in COLUMNS["entities"]}
            self._add("entities", name, shown, named_entity_metadata=[metadata])

    def _make_workflows(self, draft: Mapping[str, Any]) -> None:
        for (name, version), text in draft["workflows"].items():
            request = changed(
                CREATE_WORKFLOW, id=identifier("WORKFLOW", name, version), spec__description={"short_description": text}
            )
            request["spec"]["template"]["nodes"][0]["task_node"]["reference_id"] = self.task_ids[0]
            at = self._do("CreateWorkflow", request)
            self._add(
                "workflow",
                (name, version),
                {**version_columns(name, version), **time_columns(at), "short_description": text},
            )

    def _make_plans(self, draft: Mapping[str, Any]) -> None:
        workflows = self.rows["workflow"]
        active: dict[str, str] = {}
        rows: dict[Any, tuple[dict[str, Value], Row]] = {}
        for (name, version), (index, schedule, activate) in draft["plans"].items():
            workflow = workflows[index % len(workflows)]
            id = identifier("LAUNCH_PLAN", name, version)
            request = changed(CREATE_PLAN, id=id, spec__workflow_id=identifier("WORKFLOW", *workflow.name))
            request["spec"] |= {
                "fixed_inputs": {"literals": {"x": ONE}},
                "entity_metadata": {"schedule": SCHEDULES[schedule]},
            }
            at = self._do("CreateLaunchPlan", request)
            condition = None if schedule == "NONE" else "SCHED"
            columns = {"state": 0, "schedule_type": schedule, "launch_condition_type": condition, **time_columns(at)}
            rows[name, version] = (version_columns(name, version) | columns, workflow)
            if activate:
                self._do("UpdateLaunchPlan", {"id": id, "state": "ACTIVE"})
                active[name] = version
        for (name, version), (columns, workflow) in rows.items():
            columns["state"] = int(active.get(name) == version)
            self._add("launch_plan", (name, version), columns, workflow=[workflow])

    def _make_executions(self, draft: Mapping[str, Any]) -> None:
        alone = changed(CREATE_TASK, id__domain=ELSEWHERE, id__name="alone")
        alone["spec"]["template"]["interface"] = {"outputs": {"variables": {"o0": {"type": INTEGER}}}}
        at = self._do("CreateTask", alone)
        columns = version_columns("alone", "v1") | {"domain": ELSEWHERE, "type": "python-task", **time_columns(at)}
        self._alone = full_row(
            "task", "alone", {**columns, "short_description": alone["spec"]["description"]["short_description"]}
        )
        self._generated: Row | None = None
        for name, execution in draft["executions"].items():
            self._make_execution(name, execution)
        self.run = named(next(iter(draft["executions"])))

    def _make_execution(self, name: str, draft: Mapping[str, Any]) -> None:
        plans = self.rows["launch_plan"]
        plan = None if draft["runs"] < 0 else plans[draft["runs"] % len(plans)]
        runs = identifier("TASK", "alone", "v1") | {"domain": ELSEWHERE}
        if plan is not None:
            runs = identifier("LAUNCH_PLAN", *plan.name)
        request = changed(CREATE_EXECUTION, name=name, spec__launch_plan=runs, inputs={})
        request["spec"] |= {
            "metadata": {"mode": draft["mode"]},
            "labels": {"values": draft["labels"]},
            "tags": draft["tags"],
        }
        at = self._do("CreateExecution", request)
        if plan is None and self._generated is None:
            generated = version_columns(".flytegen.alone", "v1") | {"domain": ELSEWHERE, "short_description": ""}
            self._generated = full_row("workflow", "generated", generated | time_columns(at))
        history = self._run("CreateWorkflowEvent", {"execution_id": named(name)}, draft["history"])
        result = history["result"]
        columns: dict[str, Value] = {
            **execution_columns(name),
            **time_columns(at),
            "phase": history["phase"] or "UNDEFINED",
            "execution_created_at": at,
            "execution_updated_at": history["moved"] or at,
            "started_at": history["started_at"],
            "duration": history["duration"],
            "error_kind": result.get("kind"),
            "error_code": result.get("code"),
            "abort_cause": "",
            "mode": draft["mode"],
            "state": 0,
            "cluster": "",
            "user": "",
            "source_execution_id": None,
            "parent_node_execution_id": None,
            "launch_entity": "task" if plan is None else "launch_plan",
        }
        columns["updated_at"] = history["written"] or at
        if draft["end"] == "archive":
            columns["updated_at"] = self._do("UpdateExecution", {"id": named(name), "state": "EXECUTION_ARCHIVED"})
            columns["state"] = 1
        elif draft["end"] == "terminate" and columns["phase"] not in ("SUCCEEDED", "FAILED"):
            columns["updated_at"] = self._do("TerminateExecution", {"id": named(name), "cause": "enough"})
            columns |= {"phase": "ABORTING", "abort_cause": "enough"}
        columns |= self._keys(name)
        tags = [*draft["labels"].items(), *((tag, "") for tag in draft["tags"])]
        tag_columns = {**execution_columns(name), **time_columns(at)}
        ran = [] if plan is None else plan.joined["workflow"]
        self._add(
            "execution",
            name,
            columns,
            launch_plan=[] if plan is None else [plan],
            workflow=ran if plan else [self._generated] if self._generated else [],
            task=[] if plan else [self._alone],
            execution_tag=[
                full_row("execution_tag", name, {**tag_columns, "key": key, "value": value, "name": key})
                for key, value in tags
            ],
        )

    def _keys(self, name: str) -> dict[str, Value]:
        """Columns whose values are the server's own: what they are equal to is checked elsewhere."""
        record = self.world.control_plane.executions.records.get(join(PROJECT, DOMAIN, name))
        assert record is not None
        own = ("launch_plan_id", "workflow_id", "task_id", "inputs_uri", "user_inputs_uri")
        return {column: record.columns[column] for column in own}

    def _run(self, method: str, event: Mapping[str, Any], history: list[Any]) -> dict[str, Any]:
        """Send events as long as they change something; what they leave."""
        seen: dict[str, Any] = dict.fromkeys(("phase", "started_at", "moved", "written", "created"))
        seen |= {"duration": 0.0, "result": {}}
        for step in history:
            phase = step["phase"]
            if phase == seen["phase"] or seen["phase"] in ("SUCCEEDED", "FAILED"):
                continue
            if method == "CreateWorkflowEvent" and (seen["phase"], phase) == ("RUNNING", "QUEUED"):
                continue
            occurred = self._timeline.time + 250_000_000
            fields = {**event, "phase": phase, "occurred_at": stamp(occurred)}
            error = {"code": step["code"], "kind": step["kind"], "message": "m"} if phase == "FAILED" else None
            seen["written"] = self._do(method, {"event": {**fields, **({"error": error} if error else {})}})
            seen["created"] = seen["created"] or (seen["written"], occurred)
            seen |= {"phase": phase, "moved": occurred}
            if phase == "RUNNING" and (seen["started_at"] is None or method != "CreateTaskEvent"):
                seen["started_at"] = occurred
            if phase in ("SUCCEEDED", "FAILED") and seen["started_at"] is not None:
                seen["duration"] = (occurred - seen["started_at"]) / 1e9
            seen["result"] = error or {}
        return seen

    def _make_nodes(self, draft: Mapping[str, Any]) -> None:
        execution = next(row for row in self.rows["execution"] if row.name == self.run["name"])
        histories = {"n0": draft["nodes"].get("n0") or [RUNNING], **draft["nodes"]}
        histories["n0"] = histories["n0"] or [RUNNING]
        for node, history in histories.items():
            self._make_node(node, {"spec_node_id": node}, history, execution, self.rows["node_execution"])

    def _make_node(
        self, node: str, event: Mapping[str, Any], history: list[Any], execution: Row, rows: list[Row]
    ) -> None:
        id = {"execution_id": self.run, "node_id": node}
        seen = self._run("CreateNodeEvent", {"id": id, "event_version": 1, **event}, history)
        if seen["created"] is None:
            return
        row, occurred = seen["created"]
        columns = {
            **execution_columns(self.run["name"]),
            "created_at": row,
            "updated_at": seen["written"],
            "node_id": node,
            "phase": seen["phase"],
            "input_uri": "",
            "started_at": seen["started_at"],
            "node_execution_created_at": occurred,
            "node_execution_updated_at": seen["moved"],
            "duration": seen["duration"],
            "error_kind": seen["result"].get("kind"),
            "error_code": seen["result"].get("code"),
            "cache_status": None,
        }
        rows.append(full_row("node_execution", node, columns, execution=[execution]))

    def _make_attempts(self, draft: Mapping[str, Any]) -> None:
        execution = next(row for row in self.rows["execution"] if row.name == self.run["name"])
        node = self.rows["node_execution"][0]
        place = {"execution_id": self.run, "node_id": "n0"}
        self.parent_attempt = {"task_id": self.task_ids[0], "node_execution_id": place, "retry_attempt": 0}
        drafts = {(0, 0): ([RUNNING], 0), **draft["attempts"]}
        taken = set()
        for (index, attempt), (history, version) in drafts.items():
            task = self.task_ids[index % len(self.task_ids)]
            if (task["name"], task["version"], attempt) in taken:
                continue
            event = {
                "task_id": task,
                "parent_node_execution_id": place,
                "retry_attempt": attempt,
                "phase_version": version,
            }
            seen = self._run("CreateTaskEvent", event, history or [RUNNING])
            taken.add((task["name"], task["version"], attempt))
            row, occurred = seen["created"]
            columns = {
                **execution_columns(self.run["name"]),
                **version_columns(task["name"], task["version"]),
                "created_at": row,
                "updated_at": seen["written"],
                "node_id": "n0",
                "retry_attempt": attempt,
                "phase": seen["phase"],
                "phase_version": version,
                "input_uri": "",
                "started_at": seen["started_at"],
                "task_execution_created_at": occurred,
                "task_execution_updated_at": seen["moved"],
                "duration": seen["duration"],
            }
            tasks = [one for one in self.rows["task"] if one.name == (task["name"], task["version"])]
            name = (task["name"], task["version"], attempt)
            self._add("task_execution", name, columns, task=tasks, execution=[execution], node_execution=[node])

    def _make_children(self, draft: Mapping[str, Any]) -> None:
        execution = next(row for row in self.rows["execution"] if row.name == self.run["name"])
        self.children: list[Row] = []
        for node, history in draft["nodes"].items():
            event = {"spec_node_id": node, "parent_task_metadata": {"id": self.parent_attempt}}
            self._make_node(f"n0-0-{node}", event, history, execution, self.children)

    def _make_signals(self, draft: Mapping[str, Any]) -> None:
        for name in draft["signals"]:
            id = {"signal_id": name, "execution_id": self.run}
            at = self._do("GetOrCreateSignal", {"id": id, "type": {"simple": "BOOLEAN"}})
            self._add("signal", name, {**execution_columns(self.run["name"]), **time_columns(at), "signal_id": name})
