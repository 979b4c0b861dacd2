/** A list of what is its own link: whoever waits for a slot leaves from any place of it at once. */
export interface Linked<T extends Linked<T>> {
  /** The list that it stands in. */
  chain: Chain<T> | undefined;
  before: T | undefined;
  behind: T | undefined;
}

export class Chain<T extends Linked<T>> {
  first: T | undefined;
  private last: T | undefined;
  length = 0;

  /** Last of all. It stands in no other list. */
  push(each: T): void {
    each.chain = this;
    each.before = this.last;
    if (this.last === undefined) this.first = each;
    else this.last.behind = each;
    this.last = each;
    this.length++;
  }

  /** It stands in this list. */
  remove(each: T): void {
    const { before, behind } = each;
    if (before === undefined) this.first = behind;
    else before.behind = behind;
    if (behind === undefined) this.last = before;
    else behind.before = before;
    each.chain = each.before = each.behind = undefined;
    this.length--;
  }

  shift(): T | undefined {
    const { first } = this;
    if (first !== undefined) this.remove(first);
    return first;
  }
}
