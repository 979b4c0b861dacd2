-- Homa for Wireshark and tshark: packets as HomaModule has them (homa_wire.h, 9edb958), IP protocol 146.
--   wireshark -X lua_script:homa.lua FILE        or put it into the folder of personal plugins
-- Tested with every packet type in tests/homa/wireshark.test.ts.

local homa = Proto("homa", "Homa Transport Protocol")

local TYPES = {
  [0x10] = "DATA", [0x11] = "GRANT", [0x12] = "RESEND", [0x13] = "RPC_UNKNOWN", [0x14] = "BUSY",
  [0x15] = "CUTOFFS", [0x16] = "FREEZE", [0x17] = "NEED_ACK", [0x18] = "ACK",
}
-- Bytes of the whole header.
local SIZES = {
  [0x10] = 56, [0x11] = 33, [0x12] = 37, [0x13] = 28, [0x14] = 28, [0x15] = 62, [0x16] = 28, [0x17] = 28, [0x18] = 80,
}
local COMMON, ACKS_AT, ACK_SIZE, MOST_ACKS, ALL = 28, 30, 10, 5, 0xffffffff

local f = {
  sport = ProtoField.uint16("homa.sport", "Source port", base.DEC),
  dport = ProtoField.uint16("homa.dport", "Destination port", base.DEC),
  port = ProtoField.uint16("homa.port", "Source or destination port", base.DEC),
  sequence = ProtoField.uint32("homa.sequence", "Sequence", base.DEC),
  mark = ProtoField.uint24("homa.mark", "Mark of etherloom", base.HEX),
  type = ProtoField.uint8("homa.type", "Type", base.HEX, TYPES),
  doff = ProtoField.uint8("homa.doff", "Words before the segment", base.DEC, nil, 0xf0),
  flags = ProtoField.uint8("homa.flags", "Flags", base.HEX),
  window = ProtoField.uint16("homa.window", "Window", base.DEC),
  checksum = ProtoField.uint16("homa.checksum", "Checksum", base.HEX),
  urgent = ProtoField.uint16("homa.urgent", "Urgent", base.DEC),
  sender_id = ProtoField.uint64("homa.sender_id", "RPC of the sender", base.DEC),
  rpc = ProtoField.uint64("homa.rpc", "RPC as the client counts it", base.DEC),
  message_length = ProtoField.uint32("homa.message_length", "Message length", base.DEC),
  incoming = ProtoField.uint32("homa.incoming", "Bytes sent without being asked", base.DEC),
  ack_client_id = ProtoField.uint64("homa.ack.client_id", "Acknowledged RPC", base.DEC),
  ack_server_port = ProtoField.uint16("homa.ack.server_port", "Its server port", base.DEC),
  cutoff_version = ProtoField.uint16("homa.cutoff_version", "Version of cutoffs", base.DEC),
  retransmit = ProtoField.uint8("homa.retransmit", "Sent again", base.DEC),
  offset = ProtoField.uint32("homa.offset", "Offset", base.DEC),
  length = ProtoField.uint32("homa.length", "Length", base.DEC),
  priority = ProtoField.uint8("homa.priority", "Priority", base.DEC),
  cutoff = ProtoField.uint32("homa.unsched_cutoff", "Longest message", base.DEC),
  num_acks = ProtoField.uint16("homa.num_acks", "Acknowledged RPCs", base.DEC),
  data = ProtoField.bytes("homa.data", "Data"),
  data_length = ProtoField.uint32("homa.data_length", "Bytes of data", base.DEC),
}
homa.fields = f

local short = ProtoExpert.new("homa.truncated", "Too short for its type", expert.group.MALFORMED, expert.severity.ERROR)
local unknown = ProtoExpert.new("homa.unknown_type", "No type of Homa's", expert.group.MALFORMED, expert.severity.ERROR)
local contradiction =
  ProtoExpert.new("homa.bad_length", "Lengths contradict each other", expert.group.MALFORMED, expert.severity.ERROR)
homa.experts = { short, unknown, contradiction }

local function ack(tree, range)
  local rpc = range(0, 8):uint64()
  local sub = tree:add(range, "RPC " .. tostring(rpc))
  sub:add(f.ack_client_id, range(0, 8))
  sub:add(f.ack_server_port, range(8, 2))
  return tostring(rpc)
end

local bodies = {}

bodies.DATA = function(buffer, tree)
  local length, offset = buffer(28, 4):uint(), buffer(52, 4):uint()
  local bytes = buffer:len() - 56
  tree:add(f.message_length, buffer(28, 4))
  tree:add(f.incoming, buffer(32, 4))
  ack(tree, buffer(36, 10))
  tree:add(f.cutoff_version, buffer(46, 2))
  tree:add(f.retransmit, buffer(48, 1))
  tree:add(f.offset, buffer(52, 4))
  tree:add(f.data_length, bytes):set_generated()
  if bytes > 0 then tree:add(f.data, buffer(56)) end
  if offset + bytes > length then tree:add_proto_expert_info(contradiction) end
  local again = buffer(48, 1):uint() ~= 0 and ", again" or ""
  return string.format("%d:%d of %d%s", offset, offset + bytes, length, again)
end

bodies.GRANT = function(buffer, tree)
  tree:add(f.offset, buffer(28, 4))
  tree:add(f.priority, buffer(32, 1))
  return string.format("up to %d, priority %d", buffer(28, 4):uint(), buffer(32, 1):uint())
end

bodies.RESEND = function(buffer, tree)
  local offset, length = buffer(28, 4):uint(), buffer(32, 4):uint()
  tree:add(f.offset, buffer(28, 4))
  local item = tree:add(f.length, buffer(32, 4))
  tree:add(f.priority, buffer(36, 1))
  if length == ALL then
    item:append_text(" (all)")
    return "all"
  end
  return string.format("%d:%d", offset, offset + length)
end

bodies.CUTOFFS = function(buffer, tree)
  for i = 0, 7 do
    tree:add(f.cutoff, buffer(28 + 4 * i, 4)):prepend_text("P" .. i .. ": ")
  end
  tree:add(f.cutoff_version, buffer(60, 2))
  return "version " .. buffer(60, 2):uint()
end

bodies.ACK = function(buffer, tree)
  local n = buffer(28, 2):uint()
  tree:add(f.num_acks, buffer(28, 2))
  if n > MOST_ACKS then
    tree:add_proto_expert_info(contradiction)
    n = MOST_ACKS
  end
  local rpcs = {}
  for i = 0, n - 1 do rpcs[i + 1] = ack(tree, buffer(ACKS_AT + i * ACK_SIZE, ACK_SIZE)) end
  return table.concat(rpcs, " ")
end

function homa.dissector(buffer, pinfo, root)
  pinfo.cols.protocol = "Homa"
  local tree = root:add(homa, buffer())
  if buffer:len() < COMMON then
    tree:add_proto_expert_info(short)
    return buffer:len()
  end
  local sport, dport, type, id = buffer(0, 2), buffer(2, 2), buffer(11, 1):uint(), buffer(20, 8):uint64()
  tree:add(f.sport, sport)
  tree:add(f.dport, dport)
  tree:add(f.port, sport):set_hidden()
  tree:add(f.port, dport):set_hidden()
  tree:add(f.sequence, buffer(4, 4))
  tree:add(f.mark, buffer(8, 3))
  tree:add(f.type, buffer(11, 1))
  tree:add(f.doff, buffer(12, 1))
  tree:add(f.flags, buffer(13, 1))
  tree:add(f.window, buffer(14, 2))
  tree:add(f.checksum, buffer(16, 2))
  tree:add(f.urgent, buffer(18, 2))
  tree:add(f.sender_id, buffer(20, 8))
  -- The lowest bit says which side sent it: without it both directions of an RPC have one number.
  local rpc = id:band(UInt64(0xfffffffe, 0xffffffff))
  tree:add(f.rpc, buffer(20, 8), rpc):set_generated()

  local name = TYPES[type]
  local info = string.format("%d → %d %s", sport:uint(), dport:uint(), name or string.format("type 0x%02x", type))
  info = info .. " rpc " .. tostring(rpc)
  if not name then
    tree:add_proto_expert_info(unknown)
  elseif buffer:len() < SIZES[type] then
    tree:add_proto_expert_info(short)
  elseif bodies[name] then
    info = info .. " " .. bodies[name](buffer, tree)
  end
  pinfo.cols.info = info
  tree:append_text(", " .. (name or "unknown") .. ", RPC " .. tostring(rpc))
  return buffer:len()
end

DissectorTable.get("ip.proto"):add(146, homa)
