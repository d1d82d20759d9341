from llem.domain.host import Host, host_drift


def host(**changes):
    facts = {
        "name": "node1",
        "boot_id": "b",
        "kernel": "6.1",
        "cpu": "EPYC",
        "cpus": 2,
        "memory_bytes": 1,
        "python": "3.11.7",
        "packages": {"torch": "2.13.0"},
        "environment": {},
    }
    return Host(**{**facts, **changes})


def test_the_same_machine_after_a_reboot_has_not_drifted():
    assert host_drift(host(), host(boot_id="c")) == []


def test_drift_names_what_changed_and_both_values():
    now = host(cpus=4, packages={"torch": "2.14.1"}, environment={"OMP_NUM_THREADS": "1"})
    assert host_drift(host(), now) == ["cpus: 2 → 4", "torch: 2.13.0 → 2.14.1", "OMP_NUM_THREADS: None → 1"]
