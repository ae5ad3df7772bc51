import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainText, textTable } from './textTable.ts';

test('lets no escape sequence from a cluster or a file reach the terminal', () => {
  assert.doesNotMatch(plainText('\u001b]0;title\u0007a\u001b[31mred\u001b[0m\nb\u009b2J\tc'), /[\u0000-\u001f\u007f-\u009f]/);
  assert.equal(plainText('one\ntwo', '\n'), 'one\ntwo');
});

test('aligns columns by what is seen and ends no line in spaces', () => {
  assert.equal(textTable([{ title: 'NAME' }, { title: 'N', right: true }, { title: 'NOTE' }], [['é', '12', ''], ['long', '3', 'x']]), 'NAME   N  NOTE\né     12\nlong   3  x');
});
