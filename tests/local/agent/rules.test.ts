/** The agent's rules on their own: grammar, results, macros, masks, visibility, lines (task-contract B.1, B.5 to B.9). */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseCommand, unescapeCommand } from '../../../local/agent/command.js';
import { LineSplitter } from '../../../local/agent/lines.js';
import { parameterIsMasked, SecretMasker } from '../../../local/agent/masker.js';
import { combineRestrictions } from '../../../local/agent/restrictions.js';
import { jobResult, mergeResults, parseResult } from '../../../local/agent/result.js';
import { checkDefinition } from '../../../local/agent/task-definition.js';
import { JobVariables } from '../../../local/agent/variables.js';
import { isVisible, parseVisibleRule } from '../../../local/agent/visible-rule.js';
import { resemblesCommand } from '../../support/hostile-lines.js';

/** The writer's escapes (task library): what it writes, the agent reads back. */
const escapeData = (text: string): string => text.replaceAll('%', '%AZP25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapeProperty = (text: string): string => escapeData(text).replaceAll(']', '%5D').replaceAll(';', '%3B');

describe('rules of the agent', () => {
  it('reads back what the task library writes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ unit: 'grapheme' }), (property, data) => {
        const line = `##vso[task.setvariable variable=${escapeProperty(property)};isOutput=true;]${escapeData(data)}`;
        const command = parseCommand(line);
        assert.equal(command?.properties.get('variable'), property);
        assert.equal(command?.data, data);
      }),
    );
    assert.equal(unescapeCommand('%AZP253B%3B'), '%3B;');
  });

  it('is strict where the agent is, and nowhere else', () => {
    assert.equal(parseCommand('text ##vso[Task.LogIssue TYPE=error]x')?.event, 'logissue');
    assert.equal(parseCommand('##vso[.task..debug.]x')?.event, 'debug', 'empty parts of a name do not count');
    assert.equal(parseCommand('] ##vso[task.debug]x ##vso[task.complete]')?.data, 'x ##vso[task.complete]');
    for (const line of [
      '##VSO[task.debug]x',
      '##vso[task]x',
      '##vso[a.b.c]x',
      '##vso[task.debug',
      '## vso[task.debug]x',
      '##vso [a.b]',
    ]) {
      assert.equal(parseCommand(line), undefined, line);
    }
    assert.deepEqual(
      [...(parseCommand('##vso[a.b x=1;y=;=2;z=a=b;=k==v=;=;p==;]')?.properties ?? [])],
      [
        ['x', '1'],
        ['z', 'a=b'],
        ['k', 'v='],
      ],
    );
    assert.ok(
      resemblesCommand('#\u200b#\u00advso[task.debug]') &&
        resemblesCommand('\uff03\uff03vso\uff3bx') &&
        !resemblesCommand('##_vso['),
    );
  });

  it('merges results', () => {
    const words = ['Succeeded', 'SucceededWithIssues', 'Failed', 'Canceled', 'Skipped', 'Abandoned'] as const;
    // What comes in, by row what there is: the worse of the first three; what lies beyond Failed comes in and stays.
    const table = ['SIFCKA', 'SIFCKA', 'IIFCKA', 'FFFCKA', 'CCCCCC', 'KKKKKK', 'AAAAAA'];
    const short = 'SIFCKA';
    for (const [row, current] of [undefined, ...words].entries())
      assert.equal(words.map((incoming) => short[words.indexOf(mergeResults(current, incoming))]).join(''), table[row], current);
    for (const [number, word] of words.entries())
      assert.deepEqual([parseResult(word), parseResult(String(number)), parseResult(` ${word} `)], [word, word, word]);
    for (const no of ['failed', 'Cancelled', '6', '-1', '01', '', undefined]) assert.equal(parseResult(no), undefined, no);
    assert.equal(jobResult(['Succeeded', 'SucceededWithIssues', 'Skipped'], false), 'SucceededWithIssues');
    assert.equal(jobResult(['Failed', 'SucceededWithIssues', 'Succeeded'], false), 'Failed');
    assert.deepEqual(
      [jobResult(['Skipped'], false), jobResult([], false), jobResult(['Failed'], true)],
      ['Succeeded', 'Succeeded', 'Canceled'],
    );
  });

  it('expands macros of a text once', () => {
    const variables = new JobVariables({ c: { value: '1' } });
    variables.set('A.b', { value: '$(c)' });
    assert.equal(variables.expand('$(a.B) $(C)$(none) $(a$(c)) $() $('), '$(c) 1$(none) $(a1) $() $(');
    for (const none of ['c)', 'xxc)', '(c)', '$c)', '${c}', '$ (c)', '$(c']) assert.equal(variables.expand(none), none);
    fc.assert(fc.property(fc.string(), (text) => typeof variables.expand(text) === 'string'));
  });

  it('puts variables into each other; what leads back to itself stays as it is written; what holds a secret is one', () => {
    const told: string[] = [];
    const variables = new JobVariables(
      { 'Root.Path': { value: '/r/$(name)' }, name: { value: 'dev-$(stage)' }, stage: { value: 'one' } },
      // Of a nearer level: counts in what a farther one names.
      { Stage: { value: 'two', isReadOnly: true }, 'around$(stage)': { value: 'x' } },
      { key: { value: 's3cret', isSecret: true }, url: { value: 'https://$(KEY)@$(name)/$(none)$(' } },
      { a: { value: '$(b)' }, b: { value: 'to $(A)' }, self: { value: '$(Self)!' }, user: { value: '$(a) $(stage)' } },
      Object.fromEntries(Array.from({ length: 52 }, (_, n) => [`deep${n}`, { value: n === 51 ? 'end' : `$(deep${n + 1})` }])),
    );
    variables.watchSecrets((value) => told.push(value));
    const value = (name: string): string | undefined => variables.get(name)?.value;
    assert.deepEqual([value('root.path'), value('around$(stage)')], ['/r/dev-two', 'x']);
    assert.equal(value('URL'), 'https://s3cret@dev-two/$(none)$(');
    assert.deepEqual(told, ['s3cret', 's3cret', value('url')]);
    assert.deepEqual(
      ['url', 'name', 'stage'].map((name) => [variables.get(name)?.isSecret ?? false, variables.get(name)?.isReadOnly ?? false]),
      [
        [true, false],
        [false, false],
        [false, true],
      ],
    );
    assert.equal(variables.toEnvironment()['URL'], undefined);
    assert.equal(variables.toEnvironment()['SECRET_URL'], value('url'));
    // Half-way is not put in either.
    assert.deepEqual(['a', 'b', 'self', 'user'].map(value), ['$(b)', 'to $(A)', '$(Self)!', '$(a) $(stage)']);
    assert.deepEqual([value('deep2'), value('deep1'), value('deep0')], ['end', '$(deep2)', '$(deep1)']);
    const cyclical = (name: string): string => `Unable to expand variable '${name}'. A cyclical reference was detected.`;
    const deep = (name: string): string => `Unable to expand variable '${name}'. The max expansion depth (50) was exceeded.`;
    const warnings = [...['a', 'b', 'self', 'user'].map(cyclical), ...['deep0', 'deep1'].map(deep)];
    assert.deepEqual(variables.expandAll(), warnings);
    // What is set while a step runs is put in when the next one starts, from what was written.
    variables.set('stage', { value: '$(key)' });
    assert.equal(value('name'), 'dev-two');
    assert.deepEqual([variables.expandAll(), value('name'), variables.get('name')?.isSecret], [warnings, 'dev-s3cret', true]);
    for (const secret of ['/r/dev-s3cret', 'dev-s3cret', 'https://s3cret@dev-s3cret/$(none)$(']) assert.ok(told.includes(secret));
    variables.unset('Name');
    variables.expandAll();
    assert.equal(value('root.path'), '/r/$(name)');
    // Values that double each other up fill no memory.
    const doubled = Object.fromEntries(
      Array.from({ length: 45 }, (_, n) => [`v${n}`, { value: n === 0 ? 'ha' : `$(v${n - 1})$(v${n - 1})` }]),
    );
    const laughs = new JobVariables(doubled);
    assert.deepEqual([laughs.get('v10')?.value.length, laughs.get('v44')?.value], [2048, '$(v43)$(v43)']);
    assert.ok(laughs.expandAll().includes("Unable to expand variable 'v44'. More than 10000 variables stand in its value."));
  });

  it('masks every form, overlapping ones as one, and tells a leak', () => {
    const masker = new SecretMasker();
    masker.add('abcdef/1 "x"');
    masker.add('def/1 "x"yz');
    masker.add('client-id-123', { sensitive: false });
    assert.equal(masker.mask('<abcdef/1 "x"yz>'), '<***>');
    assert.equal(masker.mask('client-id-123 https://u:pass-word@h/'), '*** https://u:***@h/');
    assert.equal(masker.leak('client-id-123'), undefined);
    // What was a secret once stays one; the longest is hidden first; an occurrence may begin within another.
    for (const options of [{}, { sensitive: false }]) masker.add('both-name-and-key', options);
    assert.equal(masker.leak('a both-name-and-key'), 'a ***');
    for (const secret of ['first-part', 'first-part-and-rest', 'zzzyzzz']) masker.add(secret);
    assert.equal(masker.hide('x first-part-and-rest'), 'x ***');
    assert.equal(masker.mask('zzzyzzzyzzz!'), '***!');
    masker.add('qqqqqqq');
    assert.equal(masker.mask('qqqqqqqq!'), '***!');
    fc.assert(
      fc.property(fc.string({ minLength: 6, maxLength: 30 }), fc.string(), fc.string(), (secret, before, after) => {
        fc.pre(secret.trim().length >= 6);
        const one = new SecretMasker();
        one.add(secret);
        for (const form of [secret, encodeURIComponent(secret), Buffer.from(before + secret).toString('base64')]) {
          const line = before + form + after;
          assert.ok(one.leak(line) !== undefined, `${form} was not seen`);
          assert.ok(!one.mask(line).includes(secret));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('masks as B.9 lists it: escapes, lines, short ones, addresses; and leaves what is public', () => {
    const masker = new SecretMasker();
    const secret = 'p"w\\d%1\'\u00e9\nsecond line;]';
    masker.add(secret);
    for (const form of [
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(secret),
      'p\\"w\\\\d%1\\\'\u00e9\nsecond line;]',
      secret.replaceAll('%', '%AZP25').replaceAll('\n', '%0A'),
      'second line;]',
      ...[0, 1, 2].map((shift) => Buffer.from(`${'x'.repeat(3 + shift)}${secret}`).toString('base64')),
    ])
      assert.match(masker.mask(`<${form}>`), /^<.{0,8}\*\*\*.{0,4}>$/, form);
    masker.add('inside the long one');
    masker.add('the');
    assert.equal(masker.mask('<inside the long one>'), '<***>', 'one secret within another');
    assert.equal(masker.mask('<theinside the long onethe>'), '<***>', 'one beside another');
    masker.add('a');
    assert.equal(masker.mask('banana'), 'b***n***n***');
    assert.equal(masker.leak('banana'), undefined);
    masker.add('  ');
    assert.equal(masker.mask('c  c'), 'c  c');
    assert.equal(masker.mask('https://user:pw@host/x?y=1'), 'https://user:***@host/x?y=1');
    const open = ['TenantId', 'scope', 'AUTHENTICATIONTYPE', 'Audience', 'Role', 'AcceptUntrustedCertificates'];
    assert.deepEqual(open.filter(parameterIsMasked), []);
    assert.ok(['ServicePrincipalId', 'ServicePrincipalKey', 'AccessToken', 'password'].every(parameterIsMasked));
  });

  it('knows what is visible', () => {
    assert.equal(typeof parseVisibleRule('(a = b)'), 'string');
    assert.equal(typeof parseVisibleRule('a = b && c = d || e = f'), 'string');
    const value = (name: string): string => ({ action: 'run', x: '' })[name] ?? '';
    assert.equal(isVisible('action = run && x != y', value), true);
    assert.equal(isVisible('action = plan || action = run', value), true);
    assert.equal(isVisible('action = plan', value), false);
    assert.equal(isVisible('action In run,submit', value), true);
    // Each operator where it holds and where it does not; without regard to case; an unreadable rule hides nothing.
    for (const [holds, fails] of [
      ['action == RUN', 'action == r'],
      ['x =', 'action ='],
      ['action != plan', 'action != Run'],
      ['action NotIn plan,attach', 'action NotIn plan,run'],
      ['action In run', 'action In runs'],
      ['action Contains u', 'action Contains z'],
      ['action NotContains z', 'action NotContains u'],
      ['action StartsWith ru', 'action StartsWith un'],
      ['action NotStartsWith un', 'action NotStartsWith ru'],
      ['action EndsWith un', 'action EndsWith ru'],
      ['action NotEndsWith ru', 'action NotEndsWith un'],
      ['action = run && x =', 'action = run && x = 1'],
      ['action = plan || x =', 'action = plan || x = 1'],
      ['nonsense', 'none = 1'],
    ] as const)
      assert.deepEqual([isVisible(holds, value), isVisible(fails, value)], [true, false], `${holds} / ${fails}`);
  });

  it('restricts commands and variables', () => {
    const both = combineRestrictions({ restrictions: { settableVariables: { allowed: ['job*'] } } } as never, {
      commands: 'restricted',
    });
    assert.equal(both.commandAllowed('task', 'addattachment'), false);
    assert.equal(both.commandAllowed('task', 'logissue'), true);
    assert.deepEqual([both.variableAllowed('JobName'), both.variableAllowed('path')], [true, false]);
  });

  it('cuts lines wherever the chunks end', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'ä', '\r', '\n', '\r\n', '😀'), { maxLength: 30 }), fc.nat(), (parts, at) => {
        const text = parts.join('');
        const bytes = Buffer.from(text, 'utf8');
        const lines: string[] = [];
        const splitter = new LineSplitter((line) => lines.push(line));
        const cut = at % (bytes.length + 1);
        splitter.write(bytes.subarray(0, cut));
        splitter.write(bytes.subarray(cut));
        splitter.end();
        const expected = text.split(/\r\n|\n|\r/);
        if (expected.at(-1) === '') expected.pop();
        assert.deepEqual(lines, expected);
      }),
    );
  });

  it('gives a line without end out in pieces, so that memory stays bounded', () => {
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line), 4);
    splitter.write(Buffer.from('abcdefghij'));
    splitter.write(Buffer.from('k\nl'));
    splitter.end();
    splitter.end();
    assert.deepEqual(lines, ['abcd', 'efgh', 'ijk', 'l']);
  });

  it('a variable that is set again has its new name, and stays secret and read-only', () => {
    const variables = new JobVariables({ 'My.Name': { value: '1', isSecret: true, isReadOnly: true }, other: { value: '1' } });
    variables.set('MY.name', { value: '2', preserveCase: true });
    assert.deepEqual(JSON.parse(variables.toEnvironment()['VSTS_SECRET_VARIABLES'] ?? ''), ['MY.name']);
    assert.equal(variables.toEnvironment()['SECRET_MY_name'], '2');
    assert.deepEqual(
      ['my.name', 'other', 'none'].map((name) => variables.isReadOnly(name)),
      [true, false, false],
    );
  });

  it('names everything that is wrong with a task.json', () => {
    assert.ok(checkDefinition({ name: 'x' }, '.').length > 5);
    const wrong = checkDefinition(
      {
        ...{
          id: '6f0e2f4b-1111-4222-8333-0123456789ab',
          name: 'X',
          friendlyName: 'X',
          description: 'd',
          author: 'a',
          category: 'Deploy',
        },
        ...{ version: { Major: 1, Minor: 0, Patch: 0 }, instanceNameFormat: '$(nope)' },
        inputs: [
          { name: 'a', label: 'A', type: 'pickList' },
          { name: 'A', label: 'A', type: 'string', visibleRule: 'b = 1', groupName: 'g' },
        ],
        execution: { Node20: { target: 'missing.js' } },
      },
      '.',
    ).join('\n');
    for (const part of [
      'declared twice',
      'needs options',
      'no input "b"',
      'no group',
      'no input "nope"',
      '"Node20" is not',
      'missing.js',
    ]) {
      assert.ok(wrong.includes(part), `${part}\n${wrong}`);
    }
  });
});
