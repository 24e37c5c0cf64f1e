// Reads [{"language": "promql"|"logql", "text": ...}] from standard input and writes what the grammars say of each:
// {"errors": [positions], "nodes": [[name, text], ...]}, the nodes in the order of the text.
import { parser as logql } from '@grafana/lezer-logql';
import { parser as promql } from '@prometheus-io/lezer-promql';
import { readFileSync } from 'node:fs';

const parsers = { promql, logql };

function parsed({ language, text }) {
  const errors = [];
  const nodes = [];
  parsers[language].parse(text).iterate({
    enter(node) {
      if (node.type.isError) errors.push(node.from);
      nodes.push([node.name, text.slice(node.from, node.to)]);
    },
  });
  return { errors, nodes };
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(parsed)));
