// Answer each line of stdin, requests with policies as JSON, with a line of what IAM decides about them.
//
//     node decide.cjs <folder with node_modules>
//
//     {requests, variants: [policies], whole}     a decision for each request
//     {requests, variants: [policies], expected}  for each variant a request that it decides otherwise, or null
//
// `whole` has every statement of a policy judged, and not only those that may have a say in a request.
const { createRequire } = require("node:module");
const { join, resolve } = require("node:path");
const { createInterface } = require("node:readline");

// Two functions take nine tenths of the time of a decision. Both always answer the same of the same: comparing with
// a collator is what localeCompare is defined as, and which resources a pattern of AWS's matches never changes.
const collators = new Map();
String.prototype.localeCompare = function (other, locales, options) {
  const key = JSON.stringify([locales, options]);
  if (!collators.has(key)) collators.set(key, new Intl.Collator(locales, options));
  return collators.get(key).compare(this, other);
};

const here = createRequire(join(resolve(process.argv[2]), "/"));
// What iam-simulate itself depends on is looked for from where it is.
const inside = createRequire(here.resolve("@cloud-copilot/iam-simulate"));
const utils = inside("@cloud-copilot/iam-utils");
const found = new Map();
require.cache[inside.resolve("@cloud-copilot/iam-utils")].exports = {
  ...utils,
  mostSpecificMatchingResourceTypePatterns(resource, patterns) {
    const key = [resource, ...patterns].join("\n");
    if (!found.has(key)) found.set(key, utils.mostSpecificMatchingResourceTypePatterns(resource, patterns));
    return found.get(key);
  },
};
const simulator = here("@cloud-copilot/iam-simulate");
const language = inside("@cloud-copilot/iam-policy");

// None is about the policies: AWS has no such resource for the action, several that look like it, or none at all.
const RESOURCE_ALONE = ["multiple.resource.types", "must.use.wildcard", "no.resource.types"];
// What is left of a policy that says nothing about an action. It still is one: a boundary without a word denies.
const SILENT = { Effect: "Allow", Action: "nothing:Nothing", Resource: "*" };

const ids = new Map();
function id(value) {
  const text = JSON.stringify(value);
  if (!ids.has(text)) ids.set(text, ids.size);
  return ids.get(text);
}

const checked = new Set();
function check(document, validate) {
  const key = `${validate.name} ${id(document)}`;
  const errors = checked.has(key) ? [] : validate(document);
  if (errors.length) throw new Error(`${JSON.stringify(errors)} in ${JSON.stringify(document)}`);
  checked.add(key);
}

// Whether a pattern may match: it cannot where the two differ before its first wildcard or variable.
function mayMatch(pattern, text) {
  return text.toLowerCase().startsWith(pattern.split(/[*?$]/)[0].toLowerCase());
}

// The part of a policy that may have a say in a request: of a list of actions or resources only those that may match
// count, and a statement that is left without any does not apply. What is left of a policy is the same after most
// changes in one place of it, and is judged once.
function relevant(document, { action, resource }, silent = SILENT) {
  const own = action.toLowerCase();
  const isOwn = (name) => name.toLowerCase() === own;
  const kept = [document.Statement].flat().map((statement) => {
    const left = { ...statement };
    for (const element of ["Action", "NotAction"]) {
      if (!statement[element]) continue;
      left[element] = [statement[element]].flat().filter((name) => /[*?]/.test(name) || isOwn(name));
    }
    // A request for a pattern overlaps with others before a wildcard, too.
    if (statement.Resource && !/[*?]/.test(resource)) {
      left.Resource = [statement.Resource].flat().filter((pattern) => mayMatch(pattern, resource));
    }
    if (left.NotAction?.length === 0) left.NotAction = SILENT.Action;
    return left;
  });
  const applying = kept.filter(
    (left) => left.Action?.length !== 0 && left.Resource?.length !== 0 && ![left.NotAction ?? []].flat().some(isOwn),
  );
  return { ...document, Statement: applying.length ? applying : [silent] };
}

// There is no key without a policy. Where a test gives none, the key leaves it to IAM who may use it.
const ofKey = (account) => ({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: "kms:*", Resource: "*" },
  ],
});

// One set of policies, with what each action on a resource needs of them.
class Policies {
  constructor({ identity, boundary, resource }, whole = false) {
    Object.assign(this, { identity, boundary, resource, whole, parts: new Map() });
    for (const each of [...identity, ...boundary]) check(each, language.validateIdentityPolicy);
    if (resource) check(resource, language.validateResourcePolicy);
  }

  of(request) {
    const asked = `${request.action} ${request.resource}`;
    if (!this.parts.has(asked)) this.parts.set(asked, this.part(request));
    return this.parts.get(asked);
  }

  part(request) {
    const attached = this.resource ?? (request.action.startsWith("kms:") ? ofKey(request.account) : null);
    const part = (each, silent) => (this.whole ? each : relevant(each, request, silent));
    const identity = this.identity.map((each) => part(each));
    const boundary = this.boundary.map((each) => part(each));
    const resource = attached && part(attached, { ...SILENT, Principal: "*" });
    // All of it has been checked, so its parts need not be.
    const valid = (each) => language.createValidatedPolicy(each, () => [], {});
    const named = (all) => all.map((each, n) => ({ name: `${n}`, policy: valid(each) }));
    return {
      key: id([identity, boundary, resource]),
      simulation: {
        identityPolicies: named(identity),
        serviceControlPolicies: [],
        resourceControlPolicies: [],
        ...(boundary.length && { permissionBoundaryPolicies: named(boundary) }),
        ...(resource && { resourcePolicy: valid(resource) }),
      },
    };
  }
}

// Whether AWS has all of these keys for the action: iam-simulate knows names of one's own choice after a slash
// (aws:RequestTag/...) and overlooks those after a colon (kms:EncryptionContext:...).
async function areOverlooked(keys, { action, resource }) {
  if (!keys.length || keys.some((key) => key.split(":").length < 3)) return false;
  const known = await simulator.allowedContextKeysForRequest(...action.split(":"), resource, false);
  const open = known.filter((each) => each.includes(":${")).map((each) => each.split("${")[0]);
  return keys.every((key) => open.some((each) => key.toLowerCase().startsWith(each)));
}

async function simulate(asked, given) {
  const { principal, action, resource, account, context, invented } = asked;
  const request = { principal, action, resource: { resource, accountId: account }, contextVariables: context };
  const simulation = { request, ...given };
  // As it is: whether AWS has such a request is not looked at.
  const unchecked = (unknown) => ({
    decision: simulator.runUnsafeSimulation(simulation, {}),
    denied_by: [],
    ignored: [],
    unknown,
  });
  const answer = await simulator.runSimulation(simulation, {});
  if (answer.resultType === "error") {
    const { message } = answer.errors;
    if (RESOURCE_ALONE.includes(message) || (invented && message === "invalid.action")) return unchecked(message);
    throw new Error(`${JSON.stringify(request)}: ${JSON.stringify(answer.errors)}`);
  }
  const results = answer.resultType === "single" ? [answer.result] : answer.results;
  const ignored = [...new Set(results.flatMap((each) => each.ignoredContextKeys ?? []))];
  if (await areOverlooked(ignored, asked)) return unchecked(null);
  const reasons = results.flatMap((each) => simulator.getDenialReasons(each.analysis));
  return {
    decision: answer.overallResult,
    denied_by: [...new Set(reasons.filter((each) => each.denialType === "Explicit").map((each) => each.statementId))],
    ignored,
    unknown: null,
  };
}

const decided = new Map();
async function decide(request, policies) {
  const part = policies.of(request);
  const key = `${request.id} ${part.key}`;
  if (!decided.has(key)) decided.set(key, await simulate(request, part.simulation));
  return decided.get(key);
}

// What noticed one change is asked first about the next one, which is often alike.
async function findWrong(requests, expected, policies, order) {
  for (const [place, index] of order.entries()) {
    const { decision } = await decide(requests[index], policies);
    if ((decision === "Allowed") !== expected[index]) {
      order.unshift(...order.splice(place, 1));
      return index;
    }
  }
  return null;
}

async function answer({ requests, variants, expected, whole }) {
  for (const request of requests) request.id = id(request);
  const answers = [];
  if (expected) {
    const order = [...requests.keys()];
    for (const variant of variants) answers.push(await findWrong(requests, expected, new Policies(variant), order));
  } else {
    const [only] = variants.map((variant) => new Policies(variant, whole));
    for (const request of requests) answers.push(await decide(request, only));
  }
  return answers;
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const found = await answer(JSON.parse(line)).catch((error) => ({ error: error.message }));
    process.stdout.write(JSON.stringify(found) + "\n");
  }
}

main();
