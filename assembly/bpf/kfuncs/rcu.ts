// RCU read sections: nothing that a program can reach is freed while it runs, so there is nothing to do.
export function bpf_rcu_read_lock(): void {}
export function bpf_rcu_read_unlock(): void {}
