/** Re-checks promotion records: from the files alone, and against what the service holds (design §6). */
import { canonicalJson, sha256Hex } from './canonical.js';
import { modelDigest } from './digest.js';
import { compileGate, judge } from './gate.js';
import { recordName } from './lineage.js';
import {
  filesOf,
  planDigestOf,
  PREDICATE_TYPE,
  sha256Line,
  STATEMENT_TYPE,
  type Pointer,
  type PromotionRecord,
  type RecordRef,
} from './record.js';

export interface Problem {
  file: string;
  message: string;
}

export interface Verification {
  /** Records that were looked at, ascending. */
  records: { number: number; sha256: string; record: PromotionRecord }[];
  /** The first one is the first thing that is wrong. */
  problems: Problem[];
}

const FILE = /^(\d{6,})\.json$/;
const SHA_FILE = /^(\d{6,})\.json\.sha256$/;

/**
 * Checks a folder of records, or one record with its `.sha256` (`whole: false`: then the chain's other ends are not asked for).
 * Reads nothing but the bytes given. Never throws for what stands in them.
 */
export function verifyRecords(files: ReadonlyMap<string, Buffer>, options: { whole: boolean } = { whole: true }): Verification {
  const problems: Problem[] = [];
  const records: Verification['records'] = [];
  const numbers = new Set<number>();
  for (const name of files.keys()) {
    const digits = FILE.exec(name)?.[1] ?? SHA_FILE.exec(name)?.[1];
    // A number has one way to be written: a second file of the same number would not be looked at.
    if (digits !== undefined && digits === recordName(Number(digits))) numbers.add(Number(digits));
    else problems.push({ file: name, message: 'is not a file of a record chain' });
  }
  const ordered = [...numbers].sort((a, b) => a - b);
  if (ordered.length === 0) problems.push({ file: '000001.json', message: 'is missing: there are no records' });
  const known = new Map<number, RecordRef>();
  let expected = options.whole ? 1 : (ordered[0] ?? 1);
  for (const number of ordered) {
    for (; expected < number; expected++) problems.push({ file: `${recordName(expected)}.json`, message: 'is missing' });
    expected = number + 1;
    const file = `${recordName(number)}.json`;
    const bytes = files.get(file);
    if (!bytes) {
      problems.push({ file, message: 'is missing, only its .sha256 is there' });
      continue;
    }
    const sha256 = sha256Hex(bytes);
    const beside = files.get(`${file}.sha256`);
    if (!beside) problems.push({ file: `${file}.sha256`, message: 'is missing' });
    else if (beside.toString('latin1') !== sha256Line(sha256, number))
      problems.push({
        file,
        message: `does not fit its .sha256: one of the two files was changed (the record's SHA-256 is ${sha256})`,
      });
    const record = parseRecord(bytes, file, problems);
    if (!record) continue;
    guarded(file, problems, () =>
      checkRecord(record, number, known, options.whole, (message) => problems.push({ file, message })),
    );
    known.set(number, { number, sha256 });
    records.push({ number, sha256, record });
  }
  guarded('the chain', problems, () => {
    const names = new Set(records.map(({ record }) => record.predicate.recordedAs));
    if (names.size > 1)
      problems.push({
        file: `${recordName(ordered[0]!)}.json`,
        message: `the records are of different models: ${[...names].join(', ')}`,
      });
  });
  return { records, problems };
}

function guarded(file: string, problems: Problem[], check: () => void): void {
  try {
    check();
  } catch (error) {
    problems.push({ file, message: `does not have the form of a record: ${(error as Error).message}` });
  }
}

function parseRecord(bytes: Buffer, file: string, problems: Problem[]): PromotionRecord | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const record = JSON.parse(text) as PromotionRecord;
    if (canonicalJson(record) !== text)
      problems.push({ file, message: 'is not canonical JSON: it was written by something else' });
    if (record._type !== STATEMENT_TYPE || record.predicateType !== PREDICATE_TYPE || !Array.isArray(record.subject)) {
      problems.push({ file, message: 'is not a promotion record (in-toto statement)' });
      return undefined;
    }
    return record;
  } catch (error) {
    problems.push({ file, message: `is not JSON: ${(error as Error).message}` });
    return undefined;
  }
}

function checkRecord(
  record: PromotionRecord,
  number: number,
  known: Map<number, RecordRef>,
  whole: boolean,
  say: (message: string) => void,
): void {
  const { predicate } = record;
  if (Number(predicate.schemaVersion) !== 1) say(`has schemaVersion ${String(predicate.schemaVersion)}; this command knows 1`);
  if (predicate.number !== number) say(`says it is record ${predicate.number}`);
  const previous = known.get(number - 1);
  if (whole || previous) {
    const fits = predicate.previousRecord?.number === previous?.number && predicate.previousRecord?.sha256 === previous?.sha256;
    if (!fits)
      say(
        previous
          ? `breaks the chain: it follows ${reference(predicate.previousRecord)}, but record ${previous.number} is sha256:${previous.sha256}`
          : `breaks the chain: it follows ${reference(predicate.previousRecord)}, which is not here`,
      );
  }
  const digest = modelDigest(filesOf(record));
  if (digest !== predicate.digest || digest !== predicate.model.digest)
    say(
      `has a wrong digest: its files give ${digest}, it says ${predicate.digest}${predicate.digest === predicate.model.digest ? '' : ` and ${predicate.model.digest}`}`,
    );
  const planDigest = planDigestOf(predicate);
  if (planDigest !== predicate.planDigest)
    say(`has a wrong planDigest: its plan gives ${planDigest}, it says ${predicate.planDigest}`);
  if (predicate.gate) checkGate(predicate.gate, predicate.onRejected, say);
  if (predicate.requireApproval) {
    const approvals = predicate.approvals === 'none found' ? [] : predicate.approvals;
    if (!approvals.some((approval) => approval.status.toLowerCase() === 'approved' && !approval.bypassed))
      say('needed an approval and holds none that was given');
  }
  for (const ref of [...predicate.abandons, ...(predicate.championBefore ? [predicate.championBefore.record] : [])])
    if (whole && known.get(ref.number)?.sha256 !== ref.sha256)
      say(`speaks of record ${ref.number} as sha256:${ref.sha256}, which is not that record`);
}

function checkGate(
  gate: NonNullable<PromotionRecord['predicate']['gate']>,
  onRejected: string,
  say: (message: string) => void,
): void {
  const again = judge(compileGate(gate.text), gate.facts, { onNoChampion: gate.onNoChampion });
  if (canonicalJson(again) !== canonicalJson(gate.verdict)) {
    const at = again.rows.findIndex((row, index) => canonicalJson(row) !== canonicalJson(gate.verdict.rows[index] ?? null));
    const row = again.rows[at];
    say(
      row
        ? `has wrong gate arithmetic: "${row.name}" gives ${row.verdict} with margin ${row.margin ?? 'none'}, the record says ${gate.verdict.rows[at]?.verdict ?? 'nothing'} with margin ${gate.verdict.rows[at]?.margin ?? 'none'}`
        : 'has wrong gate arithmetic: the verdict does not follow from its rows',
    );
  }
  if (again.verdict === 'rejected') say(`promotes a model that its own gate rejects (onRejected: ${onRejected})`);
}

function reference(ref: RecordRef | null): string {
  return ref ? `record ${ref.number} sha256:${ref.sha256}` : 'nothing';
}

/** What the service holds about a chain. */
export interface ServiceFacts {
  pointer: Pointer | undefined;
  /** Hashes that versions vouch for, by id of the version (lower case). */
  vouched: ReadonlyMap<string, ReadonlyMap<number, string>>;
  /** Records as they stand in storage now; undefined when not fetched. */
  stored?: ReadonlyMap<number, string>;
}

/** A chain that was rewritten as a whole no longer fits the properties of the versions and the pointer. */
export function verifyAgainstService({ records }: Verification, service: ServiceFacts): Problem[] {
  const problems: Problem[] = [];
  const abandoned = new Set(records.flatMap(({ record }) => record.predicate.abandons.map((ref) => ref.number)));
  const named = service.pointer?.champion.record;
  for (const { number, sha256, record } of records) {
    const file = `${recordName(number)}.json`;
    const { predicate } = record;
    const stamped = predicate.hop === 'share' ? predicate.model.id : predicate.targetModel.id;
    const version = service.vouched.get(stamped.toLowerCase());
    const vouch = version?.get(number);
    const finished = predicate.movesChampion ? named !== undefined && number <= named.number && !abandoned.has(number) : true;
    if (vouch !== undefined && vouch !== `sha256:${sha256}`)
      problems.push({ file, message: `does not fit the service: ${stamped} vouches for ${vouch}, the file is sha256:${sha256}` });
    else if (version && vouch === undefined && finished)
      problems.push({ file, message: `does not fit the service: ${stamped} does not vouch for it` });
    else if (!version && number === named?.number && stamped.startsWith('/'))
      problems.push({
        file,
        message: `does not fit the service: it makes ${stamped} the champion, which is not there to vouch for it`,
      });
    const inStorage = service.stored?.get(number);
    if (service.stored && inStorage !== sha256)
      problems.push({
        file,
        message: inStorage === undefined ? 'is not in storage' : `is not what stands in storage (sha256:${inStorage})`,
      });
  }
  const have = new Map(records.map(({ number, sha256 }) => [number, sha256]));
  for (const [id, hashes] of service.vouched)
    for (const [number, hash] of hashes) {
      const file = `${recordName(number)}.json`;
      const found = have.get(number);
      if (found === undefined) problems.push({ file, message: `is missing: ${id} vouches for it` });
      else if (`sha256:${found}` !== hash && !problems.some((problem) => problem.file === file))
        problems.push({ file, message: `does not fit the service: ${id} vouches for ${hash}, the file is sha256:${found}` });
    }
  if (named && have.get(named.number) !== named.sha256)
    problems.push({
      file: `${recordName(named.number)}.json`,
      message: `does not fit the champion pointer, which names sha256:${named.sha256}`,
    });
  return problems;
}
