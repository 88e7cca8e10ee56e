#!/usr/bin/python3
"""Holds packaging/kubernetes against what a cluster would hold it against, as far as that can be known without one: fields by name,
references between the manifests, the rules of the house (not root, read-only, probes, limits), and the configuration by the real
program. Then breaks the manifests in every way it knows, one at a time, and wants each found. Prints TAP.

usage: kubernetes.py SOURCE-DIRECTORY SCRIBE-GATEWAY
"""

import copy
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
KINDS = {"ConfigMap": "v1", "Secret": "v1", "ServiceAccount": "v1", "Service": "v1", "StatefulSet": "apps/v1",
         "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}
UID = 10001
VOLUMES = {"/etc/scribe-gateway", "/var/lib/scribe-gateway", "/run/scribe-gateway"}

# The fields that our manifests may have. A leaf is a type; "*" stands for any key of a map; a list has the shape of its items.
STRING, COUNT, FLAG = str, int, bool
QUANTITY = re.compile(r"[0-9]+(m|Ki|Mi|Gi)?")
LABELS = {"*": STRING}
META = {"name": STRING, "labels": {"app.kubernetes.io/name": STRING, "app.kubernetes.io/part-of": STRING}}
SELECTOR = {"matchLabels": LABELS}
LIMITS = {"cpu": QUANTITY, "memory": QUANTITY, "storage": QUANTITY}
TIMES = {"periodSeconds": COUNT, "timeoutSeconds": COUNT, "failureThreshold": COUNT}
PROBE = {**TIMES, "httpGet": {"path": STRING, "port": STRING}, "exec": {"command": [STRING]}}
CONTAINER = {
    "name": STRING, "image": STRING, "imagePullPolicy": STRING, "restartPolicy": STRING,
    "env": [{"name": STRING, "value": STRING}],
    "ports": [{"name": STRING, "containerPort": COUNT, "protocol": STRING}],
    "startupProbe": PROBE, "readinessProbe": PROBE, "livenessProbe": PROBE,
    "resources": {"requests": LIMITS, "limits": LIMITS},
    "securityContext": {"allowPrivilegeEscalation": FLAG, "privileged": FLAG, "readOnlyRootFilesystem": FLAG, "runAsNonRoot": FLAG,
                        "capabilities": {"drop": [STRING]}},
    "volumeMounts": [{"name": STRING, "mountPath": STRING, "readOnly": FLAG}],
}
POD = {
    "serviceAccountName": STRING, "automountServiceAccountToken": FLAG, "enableServiceLinks": FLAG,
    "terminationGracePeriodSeconds": COUNT,
    "securityContext": {"runAsNonRoot": FLAG, "runAsUser": COUNT, "runAsGroup": COUNT, "fsGroup": COUNT, "fsGroupChangePolicy": STRING,
                        "seccompProfile": {"type": STRING}},
    "initContainers": [CONTAINER], "containers": [CONTAINER],
    "volumes": [{"name": STRING, "configMap": {"name": STRING}, "emptyDir": {"medium": STRING, "sizeLimit": QUANTITY},
                 "secret": {"secretName": STRING, "optional": FLAG, "defaultMode": COUNT}}],
}
CLAIM = {"apiVersion": STRING, "kind": STRING, "metadata": {"name": STRING},
         "spec": {"accessModes": [STRING], "resources": {"requests": LIMITS}}}
PEERS = [{"podSelector": SELECTOR, "namespaceSelector": SELECTOR, "ipBlock": {"cidr": STRING, "except": [STRING]}}]
PORTS = [{"port": (STRING, COUNT), "protocol": STRING}]
FIELDS = {
    "ConfigMap": {"data": {"*": STRING}},
    "Secret": {"type": STRING, "stringData": {"*": STRING}},
    "ServiceAccount": {"automountServiceAccountToken": FLAG},
    "Service": {"spec": {"type": STRING, "selector": LABELS,
                         "ports": [{"name": STRING, "port": COUNT, "targetPort": STRING, "protocol": STRING, "appProtocol": STRING}]}},
    "StatefulSet": {"spec": {"replicas": COUNT, "serviceName": STRING, "selector": SELECTOR,
                             "template": {"metadata": {"labels": META["labels"]}, "spec": POD}, "volumeClaimTemplates": [CLAIM]}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": COUNT, "minAvailable": COUNT, "selector": SELECTOR}},
    "NetworkPolicy": {"spec": {"podSelector": SELECTOR, "policyTypes": [STRING], "ingress": [{"from": PEERS, "ports": PORTS}],
                               "egress": [{"to": PEERS, "ports": PORTS}]}},
}

# Fields that may be left out, or of which there has to be one; all others of the tables have to be there.
OPTIONAL = set("""restartPolicy ports env startupProbe readinessProbe livenessProbe httpGet exec readOnly privileged initContainers
    configMap emptyDir secret podSelector namespaceSelector ipBlock maxUnavailable minAvailable cpu memory storage limits appProtocol
    fsGroupChangePolicy enableServiceLinks timeoutSeconds""".split())


def check_shape(value, shape, where):
    """Yields what is wrong with a value, by the tables above."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is no map"
            return
        for key in [k for k in shape if k != "*" and k not in value and k not in OPTIONAL]:
            # A map without any of its fields is what chooses everything.
            if value or shape is not SELECTOR:
                yield f"{where} has no {key}"
        if shape is LABELS and not value:
            yield f"{where} is empty"
        for key, inner in value.items():
            if key not in shape and "*" not in shape:
                yield f"{where}.{key}: there is no such field"
            else:
                yield from check_shape(inner, shape.get(key, shape.get("*")), f"{where}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            yield f"{where} is no list, or an empty one"
            return
        for i, inner in enumerate(value):
            yield from check_shape(inner, shape[0], f"{where}[{i}]")
    elif isinstance(shape, re.Pattern):
        if not shape.fullmatch(str(value)):
            yield f"{where}: {value!r} is no quantity"
    elif type(value) not in (shape if isinstance(shape, tuple) else (shape,)):
        yield f"{where}: {value!r} is of another type"


def check_fields(objects):
    for o in objects:
        where = f"{o.get('kind')} {o.get('metadata', {}).get('name')}"
        if KINDS.get(o.get("kind")) != o.get("apiVersion"):
            yield f"{where}: kind and apiVersion are unknown or do not belong together"
            continue
        yield from check_shape(o, {"apiVersion": STRING, "kind": STRING, "metadata": META, **FIELDS[o["kind"]]}, where)


def pod_of(objects):
    return one(objects, "StatefulSet")["spec"]["template"]["spec"]


def one(objects, kind):
    found = [o for o in objects if o["kind"] == kind]
    if len(found) != 1:
        raise KeyError(f"there are {len(found)} objects of kind {kind}")
    return found[0]


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def check_names(objects):
    seen = set()
    for o in objects:
        if (o["kind"], o["metadata"]["name"]) in seen:
            yield f"{o['kind']} {o['metadata']['name']} is there twice"
        seen.add((o["kind"], o["metadata"]["name"]))
    pod = pod_of(objects)
    ports = [p["name"] for c in containers_of(pod) for p in c.get("ports", [])]
    for name in [o["metadata"]["name"] for o in objects] + [c["name"] for c in containers_of(pod)] + [v["name"] for v in pod["volumes"]]:
        if not NAME.fullmatch(name):
            yield f"{name!r} is no name of at most 63 characters"
    for name in ports:
        if len(name) > 15:
            yield f"port name {name!r} has more than 15 characters"
    for key, value in [kv for o in objects for kv in o["metadata"].get("labels", {}).items()]:
        if len(value) > 63 or len(key.rpartition("/")[2]) > 63:
            yield f"label {key}={value} is too long"


def check_references(objects):
    stateful = one(objects, "StatefulSet")["spec"]
    pod, labels = stateful["template"]["spec"], stateful["template"]["metadata"]["labels"].items()
    ports = {p["name"] for c in containers_of(pod) for p in c.get("ports", [])}
    service, budget, policy = (one(objects, kind)["spec"] for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"))
    for what, selector in (("StatefulSet", stateful["selector"]["matchLabels"]), ("Service", service["selector"]),
                           ("PodDisruptionBudget", budget["selector"]["matchLabels"]),
                           ("NetworkPolicy", policy["podSelector"]["matchLabels"])):
        if not selector or not selector.items() <= labels:
            yield f"the selector of {what} does not choose the pod"
    for port in service["ports"]:
        if port["targetPort"] not in ports:
            yield f"Service: no container has a port named {port['targetPort']}"
    for port in [p for rule in policy["ingress"] for p in rule["ports"]]:
        if port["port"] not in ports:
            yield f"NetworkPolicy: no container has a port named {port['port']}"
    if stateful["serviceName"] != one(objects, "Service")["metadata"]["name"]:
        yield "StatefulSet: serviceName names no Service"
    if pod["serviceAccountName"] != one(objects, "ServiceAccount")["metadata"]["name"]:
        yield "the pod's ServiceAccount is not there"
    if ("minAvailable" in budget) == ("maxUnavailable" in budget):
        yield "PodDisruptionBudget: either minAvailable or maxUnavailable"
    if not all(c["spec"]["resources"]["requests"].get("storage") for c in stateful["volumeClaimTemplates"]):
        yield "a claim asks for no size"
    volumes = [v["name"] for v in pod["volumes"]] + [c["metadata"]["name"] for c in stateful["volumeClaimTemplates"]]
    mounted = [m["name"] for c in containers_of(pod) for m in c["volumeMounts"]]
    if len(volumes) != len(set(volumes)) or set(volumes) != set(mounted):
        yield f"volumes {sorted(volumes)} and what is mounted {sorted(set(mounted))} differ"
    for v in pod["volumes"]:
        if len(v) != 2:
            yield f"volume {v['name']} is of no kind, or of two"
        if "configMap" in v and v["configMap"]["name"] != one(objects, "ConfigMap")["metadata"]["name"]:
            yield f"volume {v['name']}: there is no such ConfigMap"
        if "secret" in v and v["secret"]["secretName"] != one(objects, "Secret")["metadata"]["name"]:
            yield f"volume {v['name']}: the example makes another Secret"


def check_container(c, ports):
    where = f"container {c['name']}"
    tight, limits = c.get("securityContext", {}), c.get("resources", {})
    if tight.get("allowPrivilegeEscalation") is not False or tight.get("privileged") or not tight.get("runAsNonRoot"):
        yield f"{where} may become root"
    if not tight.get("readOnlyRootFilesystem"):
        yield f"{where}: its root is not read-only"
    if tight.get("capabilities", {}).get("drop") != ["ALL"]:
        yield f"{where} keeps capabilities"
    if "memory" not in limits.get("limits", {}) or not {"cpu", "memory"} <= set(limits.get("requests", {})):
        yield f"{where} lacks requests or a limit of memory"
    if ":" not in c["image"] or c["image"].endswith(":latest"):
        yield f"{where}: its image has no version"
    for name in ("startupProbe", "livenessProbe"):
        if name not in c:
            yield f"{where} has no {name}"
    for name, probe in ((n, p) for n, p in c.items() if n.endswith("Probe")):
        if ("httpGet" in probe) == ("exec" in probe):
            yield f"{where}: {name} asks in no way, or in two"
        if "httpGet" in probe and probe["httpGet"]["port"] not in ports:
            yield f"{where}: {name} asks a port that it has not"
        if "httpGet" in probe and probe["httpGet"]["path"] != ("/ready" if name == "readinessProbe" else "/health"):
            yield f"{where}: {name} asks for {probe['httpGet']['path']}"
        if "exec" in probe and probe["exec"]["command"] != ["/usr/bin/scribe-gateway", "--healthcheck"]:
            yield f"{where}: {name} runs something that the image has not"
    for m in c["volumeMounts"]:
        if m["name"] in ("configuration", "secrets") and not m.get("readOnly"):
            yield f"{where} may write its {m['name']}"
    paths = [m["mountPath"] for m in c["volumeMounts"]]
    if len(paths) != len(set(paths)) or not VOLUMES <= set(paths):
        yield f"{where} does not mount all of {sorted(VOLUMES)}, each once"


def check_policy(objects):
    """A rule that leaves something out allows all of it."""
    policy = one(objects, "NetworkPolicy")["spec"]
    if sorted(policy["policyTypes"]) != ["Egress", "Ingress"]:
        yield "the NetworkPolicy does not speak of both ways"
    for rule in policy["ingress"] + policy["egress"]:
        if not rule["ports"]:
            yield "a rule without ports is for all of them"
        for peer in rule.get("from", []) + rule.get("to", []):
            if not peer or ("ipBlock" in peer and len(peer) > 1):
                yield f"peer {peer} is none"
    for peer in [p for rule in policy["egress"] for p in rule["to"]]:
        # In any namespace, but not anything there.
        if "ipBlock" not in peer and not peer.get("podSelector"):
            yield f"peer {peer} is everything"
        if "namespaceSelector" not in peer and "ipBlock" not in peer:
            yield "the name servers are in another namespace"
    clients = [p for rule in policy["ingress"] for p in rule["from"]]
    if len(clients) != 2 or not any(p.get("namespaceSelector") for p in clients):
        yield "clients are pods of this namespace and of those with the label"


def check_house(objects):
    pod = pod_of(objects)
    tight = pod["securityContext"]
    if not tight.get("runAsNonRoot") or [tight.get(k) for k in ("runAsUser", "runAsGroup", "fsGroup")] != [UID] * 3:
        yield f"the pod does not run as user and group {UID}"
    if tight.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the pod has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token of the cluster"
    for c in containers_of(pod):
        yield from check_container(c, [p["name"] for p in c.get("ports", [])])
    for c in pod["containers"]:
        if "readinessProbe" not in c:
            yield f"container {c['name']} has no readinessProbe"
    kinds = [e["value"] for c in containers_of(pod) for e in c["env"] if e["name"] == "SERVICE_TYPE"]
    if kinds != ["ledger", "api-gateway"]:
        yield f"the containers are {kinds}, not ledger and api-gateway"
    if one(objects, "Secret").get("stringData", {}).keys() != {"moonshot"}:
        yield "the example of a secret is not the one of the configuration"
    if any(c.get("restartPolicy") != "Always" for c in pod["initContainers"]):
        yield "the ledger has to run for the pod's whole life"
    if one(objects, "StatefulSet")["spec"]["replicas"] != 1:
        yield "SQLite allows one pod"
    config = one(objects, "ConfigMap")["data"]["gateway.conf"]
    drain = re.search(r"^drain_timeout = (\d+)s$", config, re.M)
    if not drain or int(drain[1]) >= pod["terminationGracePeriodSeconds"]:
        yield "terminationGracePeriodSeconds is not longer than drain_timeout"
    listen = [e["value"] for c in pod["containers"] for e in c["env"] if e["name"] == "SCRIBE_LISTEN"]
    port = pod["containers"][0]["ports"][0]["containerPort"]
    if listen != [f"0.0.0.0:{port}"] or f"address = 0.0.0.0:{port}\n" not in config:
        yield "what is listened on is not the container's port"


def check_program(objects, gateway):
    """The ConfigMap, read by the program."""
    with tempfile.TemporaryDirectory() as directory:
        d = Path(directory)
        for name in ("config", "state", "run"):
            (d / name).mkdir()
        for name, text in one(objects, "ConfigMap")["data"].items():
            (d / "config" / name).write_text(text)
        env = {**os.environ, "STATE_DIRECTORY": str(d / "state"), "RUNTIME_DIRECTORY": str(d / "run")}
        r = subprocess.run([gateway, "--check", "--config", str(d / "config")], env=env, capture_output=True, text=True, timeout=60)
        if r.returncode:
            yield f"scribe-gateway --check: {r.stderr.strip()}"


CHECKS = {"fields are known": check_fields, "names are in order": check_names, "references resolve": check_references, "the network policy leaves nothing open": check_policy,
          "the rules of the house are kept": check_house}


def problems(objects):
    found = []
    for check in CHECKS.values():
        try:
            found += check(objects)
        except (KeyError, IndexError, TypeError, AttributeError) as e:
            found.append(f"{check.__name__}: {e!r} is missing")
    return found


def breakages(objects):
    """Every field of every manifest taken away, misspelt or put to another type, one at a time."""
    def places(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield path, key
                yield from places(inner, path + [key])
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                yield from places(inner, path + [i])

    for path, key in places(objects, []):
        for what in ("misspelt", "of another type", "taken away"):
            broken = copy.deepcopy(objects)
            parent = broken
            for step in path:
                parent = parent[step]
            if what == "misspelt":
                parent[key + "x"] = parent.pop(key)
            elif what == "taken away":
                del parent[key]
            else:
                parent[key] = [[0]]
            yield f"{'.'.join(map(str, path))}.{key} {what}", broken


# Keys of one's own, which may be called anything.
FREE = re.compile(r"matchLabels\.(k8s-app|scribe-gateway/clients) misspelt$|"
                  r"\.(timeoutSeconds|fsGroupChangePolicy|enableServiceLinks|privileged|appProtocol) taken away$")


def main():
    source, gateway = Path(sys.argv[1]), sys.argv[2]
    folder = source / "packaging/kubernetes"
    n = failed = 0

    def report(name, found):
        nonlocal n, failed
        n += 1
        for line in found:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} {n} - {name}")
        failed |= bool(found)

    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    there = sorted(p.name for p in folder.glob("*.yaml") if p.name not in ("kustomization.yaml", "secret.example.yaml"))
    report("the kustomization lists all manifests but the example", [] if sorted(listed) == there else [f"{listed} and {there}"])
    objects = [yaml.safe_load((folder / name).read_text()) for name in listed + ["secret.example.yaml"]]
    for name, check in CHECKS.items():
        report(name, list(check(objects)))
    report("the configuration is valid for the program", list(check_program(objects, gateway)))
    wrong = copy.deepcopy(objects)
    one(wrong, "ConfigMap")["data"]["gateway.conf"] += "\n[gateway]\nworkrs = 1\n"
    report("a wrong one is not", [] if list(check_program(wrong, gateway)) else ["it was taken"])
    tried = [(name, broken) for name, broken in breakages(objects) if not FREE.search(name)]
    report(f"each of {len(tried)} breakages is found", [name for name, broken in tried if not problems(broken)])
    print(f"1..{n}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
