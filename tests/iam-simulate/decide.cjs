// Answer each line of stdin, a simulation as JSON, with a line of what IAM would decide about it.
//
//     node decide.cjs <folder with node_modules>
const { createRequire } = require("node:module");
const { join, resolve } = require("node:path");
const { createInterface } = require("node:readline");

const simulator = createRequire(join(resolve(process.argv[2]), "/"))("@cloud-copilot/iam-simulate");

// Neither is about the policies: AWS names no such resource for the action, or several that look like it.
const RESOURCE_ALONE = ["multiple.resource.types", "no.resource.types"];

async function decide(simulation) {
  const answer = await simulator.runSimulation(simulation, {});
  if (answer.resultType === "error") {
    if (!RESOURCE_ALONE.includes(answer.errors.message)) return { error: answer.errors };
    return { decision: simulator.runUnsafeSimulation(simulation, {}), ignored: [], resource: answer.errors.message };
  }
  const results = answer.resultType === "single" ? [answer.result] : answer.results;
  return {
    decision: answer.overallResult,
    ignored: [...new Set(results.flatMap((each) => each.ignoredContextKeys ?? []))],
  };
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await decide(JSON.parse(line))) + "\n");
  }
}

main();
