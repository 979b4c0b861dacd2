export { bpf_xdp_pull_data } from "./packet";
export { bpf_rcu_read_lock, bpf_rcu_read_unlock } from "./rcu";
