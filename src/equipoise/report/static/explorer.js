// The decision explorer: a cut is moved, and every number and its interval follow.
//
// A cut is known by what it flags: tp positives and fp negatives of pos and neg. With a = share of
// all cases that is found, b = share that is a false alarm and s = share of positives, every number
// is a function of (a, b, s), and its slopes by them give its influence values and so its interval.
// The same formulas, from rows, are equipoise.metrics.operating_point.
"use strict";
{
  const METRICS = {
    found: (a, b, s) => [a, [1, 0, 0]],
    missed: (a, b, s) => [s - a, [-1, 0, 1]],
    false_alarms: (a, b, s) => [b, [0, 1, 0]],
    passed: (a, b, s) => [1 - s - b, [0, -1, -1]],
    precision: (a, b, s) => [a / (a + b), [b / (a + b) ** 2, -a / (a + b) ** 2, 0]],
    recall: (a, b, s) => [a / s, [1 / s, 0, -a / s ** 2]],
    f1: (a, b, s) => [(2 * a) / (s + a + b),
      [(2 * (s + b)) / (s + a + b) ** 2, (-2 * a) / (s + a + b) ** 2, (-2 * a) / (s + a + b) ** 2]],
    flagged: (a, b, s) => [a + b, [1, 1, 0]],
    net_benefit: (a, b, s, alarm, miss) => [a - (alarm / miss) * b, [1, -alarm / miss, 0]],
    cost: (a, b, s, alarm, miss) => [alarm * b + miss * (s - a), [-miss, alarm, miss]],
  };
  const NAMES = Object.keys(METRICS);
  const PER_1000 = new Set(["found", "missed", "false_alarms", "passed", "flagged", "net_benefit", "cost"]);
  const MISSING = [NaN, NaN, NaN];

  const expit = (z) => 1 / (1 + Math.exp(-z));
  const logit = (p) => Math.log(p) - Math.log1p(-p);

  // ---- intervals, as in equipoise.metrics.intervals
  function wilson(share, n, z) {
    const centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
    const reach = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
    return [share, Math.min(Math.max(0, centre - reach), share), Math.max(Math.min(1, centre + reach), share)];
  }
  function fromInfluence(value, squares, n, scale, positives, how) {
    const error = Math.sqrt((squares * n) / Math.max(n - 1, 1));
    const reach = how.z * error;
    if (scale === "identity") return [value, value - reach, value + reach];
    if (scale === "log") {
      const factor = Math.exp(Math.min(reach / value, 700));
      return value > 0 ? [value, value / factor, value * factor] : [value, NaN, NaN];
    }
    if (value > 0 && value < 1) {
      const wide = reach / (value * (1 - value));
      return [value, expit(logit(value) - wide), expit(logit(value) + wide)];
    }
    const edge = 1 - (1 - how.level) ** (1 / Math.max(Math.min(positives || n, n), 1));
    return value <= 0 ? [value, 0, edge] : [value, 1 - edge, 1];
  }

  // How a row of each kind (found, false alarm, missed, passed) moves a, b and s.
  function moves(point, share, declared) {
    const { tp, fp, pos, neg } = point;
    const n = pos + neg;
    if (declared) {
      const [a, b] = [(share * tp) / pos, ((1 - share) * fp) / neg];
      return { a, b, by: [
        [(share - a) / pos, 0, -a / pos, 0],
        [0, (1 - share - b) / neg, 0, -b / neg],
        [0, 0, 0, 0],
      ] };
    }
    const [a, b] = [tp / n, fp / n];
    return { a, b, by: [
      [(1 - a) / n, -a / n, -a / n, -a / n],
      [-b / n, (1 - b) / n, -b / n, -b / n],
      [(1 - share) / n, -share / n, (1 - share) / n, -share / n],
    ] };
  }
  // The sum of squared influences, over rows or, where products over groups are given, over groups.
  function spread(slopes, moved, counts, sums) {
    const each = [0, 1, 2, 3].map((kind) => slopes.reduce((sum, slope, i) => sum + slope * moved.by[i][kind], 0));
    if (!sums) return each.reduce((sum, value, kind) => sum + counts[kind] * value * value, 0);
    const [hit, wrong, miss, pass] = each;
    // By tp, fp, positives and rows of a group instead of by kinds of rows.
    const own = [hit - miss, wrong - pass, miss - pass, pass];
    let [total, at] = [0, 0];
    for (let i = 0; i < 4; i++) for (let j = i; j < 4; j++) total += own[i] * own[j] * sums[at++] * (i === j ? 1 : 2);
    return Math.max(total, 0);
  }

  // At a declared share: what each side moves a number by, at the ends of its interval, squared and added.
  function squareAndAdd(name, value, point, share, how) {
    const hit = wilson(point.tp / point.pos, point.pos, how.z);
    const wrong = wilson(point.fp / point.neg, point.neg, how.z);
    const at = (r, f) => METRICS[name](share * r, (1 - share) * f, share, how.alarm, how.miss)[0];
    const ends = [[at(hit[1], wrong[0]), at(hit[2], wrong[0])], [at(hit[0], wrong[1]), at(hit[0], wrong[2])]];
    const [down, up] = [-1, 1].map((sign) => Math.hypot(...ends.map((side) => Math.max(...side.map((end) => sign * (end - value))))));
    const [least, most] = { net_benefit: [-Infinity, Infinity], cost: [0, Infinity] }[name] || [0, 1];
    return [value, Math.max(value - down, least), Math.min(value + up, most)];
  }

  // Every number of one cut, [value, low, high] each; how = {alarm, miss, share or null, z, level,
  // grid: {point, sums, count} or null}.
  function measure(point, how) {
    const { tp, fp, pos, neg } = point;
    const n = pos + neg;
    const out = {};
    const declared = how.share !== null;
    if (!n || (declared && (!pos || !neg))) {
      for (const name of NAMES) out[name] = MISSING;
      return out;
    }
    const share = declared ? how.share : pos / n;
    const moved = moves(point, share, declared);
    const counts = [tp, fp, pos - tp, neg - fp];
    const grid = how.grid && { ...how.grid, moved: moves(how.grid.point, share, declared) };
    const bases = {
      found: [tp, n], missed: [pos - tp, n], false_alarms: [fp, n], passed: [neg - fp, n],
      flagged: [tp + fp, n], precision: [tp, tp + fp], recall: [tp, pos],
    };
    for (const name of NAMES) {
      const [value, slopes] = METRICS[name](moved.a, moved.b, share, how.alarm, how.miss);
      const base = bases[name];
      if ((base && !base[1]) || (name === "f1" && !pos)) out[name] = MISSING;
      else if (declared && !grid) out[name] = squareAndAdd(name, value, point, share, how);
      else if (base && !grid) out[name] = wilson(base[0] / base[1], base[1], how.z);
      else {
        const scale = { net_benefit: "identity", cost: "log" }[name] || "logit";
        const at = grid ? METRICS[name](grid.moved.a, grid.moved.b, share, how.alarm, how.miss)[1] : slopes;
        const squares = grid ? spread(at, grid.moved, null, grid.sums) : spread(slopes, moved, counts);
        out[name] = fromInfluence(value, squares, grid ? grid.count : n, scale, pos, how);
      }
    }
    return out;
  }

  // ---- which cut is wanted
  // Fewest of n that must hit before a share q is certified; n + 1 where all would not do.
  function fewest(n, q, level) {
    let [log, total] = [n * Math.log(q), 0];
    const odds = Math.log1p(-q) - Math.log(q);
    for (let k = n; k >= 1; k--) {
      total += Math.exp(log);
      if (total > 1 - level) return k + 1;
      log += Math.log(k) - Math.log(n - k + 1) + odds;
    }
    return 1;
  }
  const least = (q, level) => Math.ceil(Math.log(1 - level) / Math.log(q) - 1e-9);

  function logGamma(x) {
    // Stirling's series; below 15 the recurrence leads up to it.
    let shift = 0;
    for (; x < 15; x++) shift -= Math.log(x);
    const inverse = 1 / (x * x);
    const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / x;
    return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
  }
  // The regularised incomplete beta function, by Lentz's continued fraction.
  function incompleteBeta(x, a, b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
    const tiny = 1e-300;
    const kept = (v) => (Math.abs(v) < tiny ? tiny : v);
    let [c, d] = [1, 1 / kept(1 - ((a + b) * x) / (a + 1))];
    let total = d;
    for (let m = 1; m < 10000; m++) {
      let term = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / kept(1 + term * d);
      c = kept(1 + term / c);
      total *= d * c;
      term = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / kept(1 + term * d);
      c = kept(1 + term / c);
      total *= d * c;
      if (Math.abs(d * c - 1) < 1e-15) break;
    }
    return front * total;
  }
  // Whether hits of n flagged rows certify a precision q, by Clopper and Pearson.
  function certifies(hits, n, q, level) {
    if (!hits || hits <= q * n) return false;
    const share = hits / n;
    const miss = share < 1 ? (1 - share) * Math.log((1 - share) / (1 - q)) : 0;
    // Chernoff's bound of the chance is mostly enough.
    if (-n * (share * Math.log(share / q) + miss) <= Math.log(1 - level)) return true;
    return incompleteBeta(q, hits, n - hits + 1) <= 1 - level;
  }
  // The bound itself.
  function precisionBound(hits, n, level) {
    if (!hits) return 0;
    let [low, high] = [0, hits / n];
    for (let i = 0; i < 100 && high - low > 1e-15; i++) {
      const middle = 0.5 * (low + high);
      if (incompleteBeta(middle, hits, n - hits + 1) <= 1 - level) low = middle; else high = middle;
    }
    return 0.5 * (low + high);
  }

  class Cuts {
    constructor(cut, tp, fp) {
      [this.cut, this.tp, this.fp] = [cut, tp, fp];
      this.last = cut.length - 1;
      [this.pos, this.neg] = [tp[this.last], fp[this.last]];
    }
    point(k) { return { tp: this.tp[k], fp: this.fp[k], pos: this.pos, neg: this.neg }; }
    // The laxest cut for which a property holds that holds for every stricter one.
    lastWhere(holds) {
      let [low, high] = [0, this.last];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (holds(middle)) low = middle; else high = middle - 1;
      }
      return low;
    }
    nearest(value) {
      const k = this.lastWhere((i) => this.cut[i] >= value);
      return k < this.last && this.cut[k] - value > value - this.cut[k + 1] ? k + 1 : k;
    }
    flagged(k, share) {
      const n = this.pos + this.neg;
      if (share === null) return (this.tp[k] + this.fp[k]) / n;
      return (share * this.tp[k]) / this.pos + ((1 - share) * this.fp[k]) / this.neg;
    }
    // A wanted precision as it reads on these rows, and the level of each of some starts, as in
    // equipoise.decisions.certified_cut.
    asked(precision, how) {
      const n = this.pos + this.neg;
      const share = how.share ?? this.pos / n;
      const odds = (precision / (1 - precision)) * (((1 - share) * this.pos) / (share * this.neg));
      const wanted = odds / (1 + odds);
      const count = Math.max(1, Math.ceil(Math.log2(Math.max(n / least(wanted, how.level), 1) + 1e-12)) + 1);
      const level = 1 - (1 - how.level) / count;
      return { wanted, count, level, first: least(wanted, level) };
    }
    // The laxest cut whose precision is certified, or null. From each start every cut is tested until
    // one fails: those kept here, and those between them, of which the laxest passes last.
    certified(precision, how) {
      if (!this.pos || !this.neg) return null;
      const { wanted, count, level, first } = this.asked(precision, how);
      const passes = (hits, n) => certifies(hits, n, wanted, level);
      let best = null;
      for (let start = 0; start < count; start++) {
        const fewest = first * 2 ** start;
        let [low, high] = [1, this.last + 1];
        while (low < high) {
          const middle = (low + high) >> 1;
          if (this.tp[middle] + this.fp[middle] >= fewest) high = middle; else low = middle + 1;
        }
        for (let k = low; k <= this.last; k++) {
          const n = this.tp[k] + this.fp[k];
          const before = n - (this.tp[k] - this.tp[k - 1]);
          const between = before > this.tp[k - 1] + this.fp[k - 1] && before >= fewest;
          if ((between && !passes(this.tp[k - 1], before)) || !passes(this.tp[k], n)) break;
          if (best === null || k > best) best = k;
        }
      }
      return best;
    }
    // How many more flagged positives some cut would have to have before it certified a precision.
    lacking(precision, how) {
      const { wanted, level, first } = this.asked(precision, how);
      let fewest = first;
      for (let k = 1; k <= this.last; k++) {
        const n = this.tp[k] + this.fp[k];
        const enough = (more) => certifies(this.tp[k] + more, n + more, wanted, level);
        if (!enough(fewest - 1)) continue;
        let [low, high] = [1, fewest - 1];
        while (low < high) {
          const middle = (low + high) >> 1;
          if (enough(middle)) high = middle; else low = middle + 1;
        }
        fewest = low;
      }
      return fewest;
    }
    // The position that a goal asks for, or null where no cut reaches it.
    solve(goal, how, shift) {
      const [kind, value, mode] = goal;
      const n = this.pos + this.neg;
      if (kind === "cut") return this.nearest(value - shift);
      if (kind === "cost") return this.nearest(Math.log(how.alarm / how.miss) - shift);
      if (kind === "budget") {
        const most = mode === "rows" ? value / n : value / 1000;
        return this.lastWhere((k) => this.flagged(k, mode === "rows" ? null : how.share) <= most + 1e-12);
      }
      if (kind === "recall") {
        const hits = mode === "certified" ? fewest(this.pos, value, how.level) : (value - 1e-9) * this.pos;
        if (!this.pos || this.tp[this.last] < hits) return null;
        return hits <= 0 ? 0 : this.lastWhere((k) => this.tp[k] < hits) + 1;
      }
      if (mode === "certified") return this.certified(value, how);
      for (let k = this.last; k > 0; k--) {
        const all = this.flagged(k, how.share);
        const right = how.share === null ? this.tp[k] / n : (how.share * this.tp[k]) / this.pos;
        if (right >= (value - 1e-9) * all) return k;
      }
      return null;
    }
  }

  // ---- stored data
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  function varints(text) {
    const out = [];
    let [value, scale] = [0, 1];
    for (const byte of bytes(text)) {
      value += (byte & 127) * scale;
      scale *= 128;
      if (byte < 128) { out.push(value); [value, scale] = [0, 1]; }
    }
    return out;
  }
  function unpack(arm) {
    const cut = new Float64Array(bytes(arm.cut).buffer);
    const [tp, fp] = [varints(arm.tp), varints(arm.fp)];
    let start = 0;
    return arm.size.map((size) => {
      const own = [new Float64Array(size), new Float64Array(size)];
      [tp, fp].forEach((steps, side) => {
        let sum = 0;
        for (let i = 0; i < size; i++) own[side][i] = sum += steps[start + i];
      });
      const made = new Cuts(cut.subarray(start, start + size), ...own);
      start += size;
      return made;
    });
  }
  function unpackGroups(body) {
    if (!body) return null;
    const [at, sums] = [varints(body.at), varints(body.sums)];
    let start = 0;
    return body.size.map((size, label) => {
      const grid = { at: [], sums: [], count: body.count[label] };
      let place = 0;
      for (let i = start; i < start + size; i++) {
        grid.at.push(place += at[i]);
        grid.sums.push(sums.slice(10 * i, 10 * i + 10));
      }
      start += size;
      return grid;
    });
  }

  // ---- two kinds of problems, one face: cuts of a column, and what they mean
  // Labels stand alone: a cut of one moves no other.
  class Labels {
    constructor(body) {
      this.body = body;
      this.arms = body.arms.map(unpack);
      this.groups = unpackGroups(body.groups);
    }
    cuts(column) { return this.arms[0][column]; }
    grid(column, k) {
      if (!this.groups) return null;
      const { at, sums, count } = this.groups[column];
      let best = 0;
      at.forEach((place, i) => { if (Math.abs(place - k) < Math.abs(at[best] - k)) best = i; });
      return { point: this.cuts(column).point(at[best]), sums: sums[best], count };
    }
    start(column, which) { return this.body.arms[0][which][column]; }
    startPoint(column, which) { return this.cuts(column).point(this.start(column, which)); }
  }
  // Classes: the offset of one moves all others, so rows are decided again with every move.
  class Classes {
    constructor(body) {
      this.body = body;
      this.width = body.names.length;
      this.truth = Int32Array.from(varints(body.truth));
      this.codes = body.codes && Int32Array.from(varints(body.codes));
      this.groupCount = this.codes ? Math.max(...new Set(this.codes)) + 1 : 0;
      const raw = bytes(body.values);
      this.values = new Float64Array(this.truth.length * this.width);
      for (let i = 0; i < this.values.length; i++) {
        this.values[i] = -(raw[3 * i] + 256 * raw[3 * i + 1] + 65536 * raw[3 * i + 2]) * body.step;
      }
      this.arms = [null, ...body.arms.slice(1).map(unpack)];
      this.offset = Float64Array.from(body.tuned);
      this.decided = new Int32Array(this.truth.length);
      this.decide();
      const beside = (offset) => this.decide(offset, new Int32Array(this.truth.length));
      this.known = { tuned: beside(body.tuned), default: beside(body.tuned.map(() => 0)) };
    }
    // Decide every row; what is counted is (tp, said, rows) per class.
    decide(offset = this.offset, decided = this.decided) {
      const { values, width, truth } = this;
      const [tp, said, rows] = [0, 1, 2].map(() => new Float64Array(width));
      for (let i = 0, at = 0; i < decided.length; i++, at += width) {
        let [best, most] = [0, values[at] + offset[0]];
        for (let c = 1; c < width; c++) if (values[at + c] + offset[c] > most) { most = values[at + c] + offset[c]; best = c; }
        decided[i] = best;
        said[best]++;
        rows[truth[i]]++;
        if (truth[i] === best) tp[best]++;
      }
      const counted = { tp, said, rows };
      if (decided === this.decided) this.counted = counted;
      return counted;
    }
    // How far a row's value for a class lies above the best other one, sorted into cuts.
    cuts(column) {
      const key = column + ":" + this.offset.map((b, c) => (c === column ? 0 : b)).join();
      if (this.key === key) return this.made;
      const { values, width, truth } = this;
      const lead = new Float64Array(truth.length);
      for (let i = 0, at = 0; i < lead.length; i++, at += width) {
        let most = -Infinity;
        for (let c = 0; c < width; c++) if (c !== column) most = Math.max(most, values[at + c] + this.offset[c]);
        lead[i] = values[at + column] - most;
      }
      const order = [true, false].map((yes) => Float64Array.from(lead.filter((_, i) => (truth[i] === column) === yes)).sort());
      const all = Float64Array.from(lead).sort();
      const [cut, tp, fp] = [[all[all.length - 1] + 1], [0], [0]];
      let [p, q] = [order[0].length - 1, order[1].length - 1];
      for (let i = all.length - 1; i >= 0; i--) {
        if (i > 0 && all[i - 1] === all[i]) continue;
        while (p >= 0 && order[0][p] >= all[i]) p--;
        while (q >= 0 && order[1][q] >= all[i]) q--;
        const middle = i > 0 ? 0.5 * all[i - 1] + 0.5 * all[i] : all[i] - 1;
        cut.push(i > 0 && !(all[i - 1] < middle) ? all[i] : middle);
        tp.push(order[0].length - 1 - p);
        fp.push(order[1].length - 1 - q);
      }
      [this.key, this.made] = [key, new Cuts(cut, tp, fp)];
      return this.made;
    }
    point(column, { tp, said, rows } = this.counted) {
      return { tp: tp[column], fp: said[column] - tp[column], pos: rows[column], neg: this.truth.length - rows[column] };
    }
    grid(column) {
      if (!this.codes) return null;
      const held = [0, 1, 2, 3].map(() => new Float64Array(this.groupCount));
      for (let i = 0; i < this.truth.length; i++) {
        const [yes, said, code] = [this.truth[i] === column, this.decided[i] === column, this.codes[i]];
        if (yes && said) held[0][code]++;
        if (!yes && said) held[1][code]++;
        if (yes) held[2][code]++;
        held[3][code]++;
      }
      const sums = [];
      for (let i = 0; i < 4; i++) for (let j = i; j < 4; j++) sums.push(held[i].reduce((sum, v, g) => sum + v * held[j][g], 0));
      return { point: this.point(column), sums, count: held[3].filter((v) => v > 0).length };
    }
    // Share of rows whose class is right.
    accuracy(how) {
      const n = this.truth.length;
      const hit = this.truth.reduce((sum, y, i) => sum + (y === this.decided[i]), 0);
      if (!this.codes) return wilson(hit / n, n, how.z);
      const own = new Float64Array(this.groupCount);
      this.truth.forEach((y, i) => { own[this.codes[i]] += ((y === this.decided[i]) - hit / n) / n; });
      const count = new Set(this.codes).size;
      return fromInfluence(hit / n, own.reduce((sum, v) => sum + v * v, 0), count, "logit", null, how);
    }
    startPoint(column, which) { return this.point(column, this.known[which]); }
  }

  // ---- drawing
  const SVG = "http://www.w3.org/2000/svg";
  function draw(parent, tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }
  const BOX = { width: 340, height: 230, left: 46, right: 12, top: 10, bottom: 36 };
  function axes(svg, x, y, xLabel, yLabel) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${BOX.width} ${BOX.height}`);
    const [right, bottom] = [BOX.width - BOX.right, BOX.height - BOX.bottom];
    const at = {
      x: (v) => BOX.left + ((v - x.low) / (x.high - x.low)) * (right - BOX.left),
      y: (v) => bottom - ((v - y.low) / (y.high - y.low)) * (bottom - BOX.top),
    };
    for (const [value, word] of x.ticks) {
      draw(svg, "line", { class: "tick", x1: at.x(value), x2: at.x(value), y1: BOX.top, y2: bottom });
      draw(svg, "text", { x: at.x(value), y: bottom + 13, "text-anchor": "middle" }, word);
    }
    for (const [value, word] of y.ticks) {
      draw(svg, "line", { class: "tick", x1: BOX.left, x2: right, y1: at.y(value), y2: at.y(value) });
      draw(svg, "text", { x: BOX.left - 5, y: at.y(value) + 3.5, "text-anchor": "end" }, word);
    }
    draw(svg, "text", { x: (BOX.left + right) / 2, y: BOX.height - 5, "text-anchor": "middle" }, xLabel);
    const middle = (BOX.top + bottom) / 2;
    draw(svg, "text", { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, yLabel);
    return at;
  }
  const inside = (v, { low, high }) => Math.min(Math.max(v, low), high);
  function line(svg, at, x, y, points, kind) {
    // What lies outside is left out, not laid along the edge.
    let [d, pen] = ["", "M"];
    for (const [u, v] of points) {
      const fits = u >= x.low && u <= x.high && v >= y.low - 1e-12 && v <= y.high * (1 + 1e-12);
      if (fits) d += `${pen}${at.x(u).toFixed(1)} ${at.y(v).toFixed(1)}`;
      pen = fits ? "L" : "M";
    }
    if (d) draw(svg, "path", { class: kind, d });
  }
  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough);
    const out = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) {
      out.push([v, String(Number(v.toPrecision(6)))]);
    }
    return out;
  }
  const UNIT = { low: 0, high: 1, ticks: [[0, "0"], [0.25, ".25"], [0.5, ".5"], [0.75, ".75"], [1, "1"]] };
  const ODDS = [0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999];
  function oddsAxis(low, high, shift) {
    const fits = ODDS.map((p) => [logit(p) - shift, String(p).replace(/^0/, "")]).filter(([z]) => z >= low && z <= high);
    const step = Math.ceil(fits.length / 5);
    return { low, high, ticks: fits.filter((_, i) => i % step === 0) };
  }
  // Some 400 positions among many: every one near the strict end, then evenly spread.
  function some(last) {
    const out = new Set();
    for (let i = 0; i <= 200; i++) {
      out.add(Math.round((last * i) / 200));
      out.add(Math.min(last, Math.round((last + 1) ** (i / 200) - 1)));
    }
    return [...out].sort((a, b) => a - b);
  }

  // ---- numbers as text
  const DASH = "\u2013";
  function shown(name, value) {
    if (!Number.isFinite(value)) return DASH;
    return PER_1000.has(name) ? (1000 * value).toFixed(Math.abs(value) < 0.1 ? 2 : 1) : value.toFixed(3);
  }
  function probability(p) {
    return p < 0.001 || p > 0.9995 ? p.toPrecision(2) : p.toFixed(p < 0.1 ? 4 : 3);
  }

  class Explorer {
    constructor(root) {
      this.root = root;
      this.id = root.dataset.explorer;
      this.body = JSON.parse(document.getElementById(root.dataset.from).textContent);
      this.isLabels = this.body.kind === "multilabel";
      this.data = this.isLabels ? new Labels(this.body) : new Classes(this.body);
      this.words = JSON.parse(root.querySelector("[data-words]").textContent);
      this.reset();
      this.find();
      this.listen();
      this.readFragment();
      this.list.render(true);
      this.show(true);
    }
    part(name) { return this.root.querySelector(`[data-part="${name}"]`); }
    reset() {
      const rare = this.body.names.map((_, c) => this.data.startPoint(c, "tuned").pos);
      let first = 0;
      rare.forEach((n, c) => { if (n >= this.body.few && (rare[first] < this.body.few || n < rare[first])) first = c; });
      this.state = { label: first, scope: "one", all: null, goals: new Map(), shares: new Map(), costs: new Map(), ratio: 1, arm: 0, asked: false };
      if (!this.isLabels) this.data.offset.set(this.body.tuned);
    }
    find() {
      for (const name of ["label", "cut", "cost", "budget", "unit", "recall", "certainty", "precision", "surety", "share", "strength", "arm",
        "export", "tuned", "default", "said", "fragile", "table", "totals", "strip", "pr", "costs", "decision", "numbers"]) {
        this[name] = this.part(name);
      }
    }

    // ---- what is set
    how(column) {
      const given = this.state.shares.get(column);
      const share = given !== undefined ? given : this.body.declared && this.isLabels ? this.body.prior[column] : null;
      const ratio = this.state.costs.get(column) ?? this.state.ratio;
      return { alarm: 1, miss: ratio, share, z: this.body.z, level: this.body.level, grid: null };
    }
    // What a declared prevalence adds to the log-odds of the rule.
    shift(column) {
      const given = this.state.shares.get(column);
      return given === undefined ? 0 : logit(given) - logit(this.body.prior[column]);
    }
    goal(column) { return this.state.goals.get(column) ?? this.state.all ?? ["tuned"]; }
    // Position of a label's cut; what cannot be reached leaves the tuned one.
    index(column) {
      const cuts = this.data.cuts(column);
      if (!this.isLabels) return cuts.nearest(-this.data.offset[column]);
      const goal = this.goal(column);
      if (goal[0] === "tuned" || goal[0] === "default") return this.data.start(column, goal[0]);
      if (goal[0] === "shared") return this.sharedIndex(column, goal);
      return cuts.solve(goal, this.how(column), this.shift(column)) ?? this.data.start(column, "tuned");
    }
    // One budget for all labels: the most probable flags of all, down to one common log-odds.
    sharedIndex(column, goal) {
      const key = goal.join() + [...this.state.shares].join();
      if (this.sharedKey !== key) {
        const [, value, mode] = goal;
        const most = mode === "rows" ? value / this.body.rows : value / 1000;
        const columns = this.body.names.map((_, c) => [this.data.cuts(c), this.shift(c), mode === "rows" ? null : this.how(c).share]);
        const at = (limit) => columns.map(([cuts, shift]) => cuts.lastWhere((k) => cuts.cut[k] + shift >= limit));
        const total = (limit) => at(limit).reduce((sum, k, c) => sum + (columns[c][0].last ? columns[c][0].flagged(k, columns[c][2]) : 0), 0);
        let [low, high] = [Infinity, -Infinity];
        for (const [cuts, shift] of columns) { low = Math.min(low, cuts.cut[cuts.last] + shift); high = Math.max(high, cuts.cut[0] + shift); }
        if (total(low) <= most + 1e-12) high = low;
        for (let i = 0; i < 60 && high > low; i++) {
          const middle = 0.5 * (low + high);
          if (total(middle) <= most + 1e-12) high = middle; else low = middle;
        }
        [this.sharedKey, this.sharedAt, this.sharedLimit] = [key, at(high), high];
      }
      return this.sharedAt[column];
    }
    // The log-odds of a label's cut. Beyond the scores of these rows it is the one that was asked for:
    // new rows may lie there.
    cutOf(column) {
      const [cuts, k, goal] = [this.data.cuts(column), this.index(column), this.goal(column)];
      const how = this.how(column);
      const asked = { cut: goal[1] - this.shift(column), cost: Math.log(how.alarm / how.miss) - this.shift(column), shared: this.sharedLimit - this.shift(column) }[goal[0]];
      if (asked === undefined || !Number.isFinite(asked)) return cuts.cut[k];
      return k === 0 ? Math.max(cuts.cut[k], asked) : k === cuts.last ? Math.min(cuts.cut[k], asked) : cuts.cut[k];
    }
    point(column) {
      return this.isLabels ? this.data.cuts(column).point(this.index(column)) : this.data.point(column);
    }
    measured(column, withIntervals = true) {
      const how = this.how(column);
      if (withIntervals) how.grid = this.isLabels ? this.data.grid(column, this.index(column)) : this.data.grid(column);
      return measure(this.point(column), how);
    }
    set(goal) {
      const { state } = this;
      state.asked = true;
      if (goal[0] === "cost") {
        if (state.scope === "all") { state.ratio = goal[1]; state.costs.clear(); } else state.costs.set(state.label, goal[1]);
      }
      if (!this.isLabels) return this.setClass(goal);
      if (state.scope === "all") {
        state.goals.clear();
        state.all = goal[0] === "budget" ? ["shared", goal[1], goal[2]] : goal;
      } else state.goals.set(state.label, goal);
      this.fill();
      this.show(goal[0] === "cost", goal);
    }
    setClass(goal) {
      const { state, data } = this;
      if (goal[0] === "tuned" || goal[0] === "default") data.offset.set(goal[0] === "tuned" ? this.body.tuned : this.body.tuned.map(() => 0));
      else if (goal[0] === "strength") data.offset.set(this.body.prior.map((p) => -goal[1] * Math.log(p)));
      else if (state.scope === "one") {
        const cuts = data.cuts(state.label);
        const k = cuts.solve(goal, this.how(state.label), this.shift(state.label));
        if (k !== null) data.offset[state.label] = -cuts.cut[k];
      }
      data.decide();
      this.fill();
      this.show(goal[0] === "cost", goal);
    }

    // ---- what is heard
    listen() {
      const number = (input, make) => input && input.addEventListener("input", () => {
        const value = input.valueAsNumber;
        const fits = Number.isFinite(value) && value >= Number(input.min || -Infinity) && value <= Number(input.max || Infinity);
        input.setAttribute("aria-invalid", String(!fits && input.value !== ""));
        if (fits || input.value === "") make(fits ? value : null);
      });
      number(this.cut, (v) => v !== null && this.set(["cut", this.isLabels ? logit(v) : this.shift(this.state.label) - v]));
      number(this.cost, (v) => v !== null && this.set(["cost", v]));
      const budget = () => Number.isFinite(this.budget.valueAsNumber) && this.set(["budget", this.budget.valueAsNumber, this.unit.value]);
      number(this.budget, (v) => v !== null && budget());
      this.unit.addEventListener("change", budget);
      const recall = () => Number.isFinite(this.recall.valueAsNumber) && this.set(["recall", this.recall.valueAsNumber, this.certainty.value]);
      number(this.recall, (v) => v !== null && recall());
      this.certainty.addEventListener("change", recall);
      const precision = () => Number.isFinite(this.precision.valueAsNumber) && this.set(["precision", this.precision.valueAsNumber, this.surety.value]);
      number(this.precision, (v) => v !== null && precision());
      this.surety.addEventListener("change", precision);
      if (this.strength) number(this.strength, (v) => v !== null && this.set(["strength", v]));
      number(this.share, (v) => {
        const { state } = this;
        state.asked = true;
        if (!this.isLabels) state.shares.clear();
        if (v === null) state.shares.delete(state.label); else state.shares.set(state.label, v / 100);
        this.show(true);
      });
      for (const which of ["tuned", "default"]) this[which].addEventListener("click", () => this.set([which]));
      for (const radio of this.root.querySelectorAll("[data-part=scope] input")) {
        radio.addEventListener("change", () => { this.state.scope = radio.value; this.state.asked = true; this.fill(); this.show(true); });
      }
      if (this.arm) this.arm.addEventListener("change", () => { this.state.arm = Number(this.arm.value); this.state.asked = true; this.show(true); });
      if (this.export) this.export.addEventListener("click", () => this.download());
      this.numbers.closest("details").addEventListener("toggle", () => this.fillNumbers());
      this.list = new Rows(this);
      this.drag();
      window.addEventListener("hashchange", () => { if (this.readFragment()) { this.list.render(true); this.show(true); } });
    }
    drag() {
      const strip = this.strip;
      const move = (event) => {
        const box = strip.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * this.stripWidth;
        const z = this.stripAxis.low + ((x - 14) / (this.stripWidth - 28)) * (this.stripAxis.high - this.stripAxis.low);
        this.set(["cut", z + this.shift(this.state.label)]);
      };
      strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); move(event); });
      strip.addEventListener("pointermove", (event) => { if (strip.hasPointerCapture(event.pointerId)) move(event); });
      strip.addEventListener("keydown", (event) => {
        const cuts = this.data.cuts(this.state.label);
        const wide = Math.max(1, Math.round(cuts.last / 20));
        const step = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1, PageUp: -wide, PageDown: wide, Home: Infinity, End: -Infinity }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        const k = Math.min(Math.max(this.index(this.state.label) + step, 0), cuts.last);
        this.set(["cut", cuts.cut[k] + this.shift(this.state.label)]);
      });
    }
    choose(column) {
      this.state.label = column;
      this.state.asked = true;
      this.fill();
      this.show(true);
    }

    // ---- what is shown
    // Put what is set into the controls; the goal's own control keeps what was typed.
    fill() {
      const { label, scope, all, goals } = this.state;
      const goal = scope === "all" ? all ?? ["tuned"] : goals.get(label) ?? ["tuned"];
      const clear = (input, value) => { if (input && document.activeElement !== input) { input.value = value; input.setAttribute("aria-invalid", "false"); } };
      clear(this.budget, goal[0] === "budget" || goal[0] === "shared" ? goal[1] : "");
      clear(this.recall, goal[0] === "recall" ? goal[1] : "");
      clear(this.precision, goal[0] === "precision" ? goal[1] : "");
      clear(this.cost, String(Number(this.how(label).miss.toPrecision(6))));
      const share = this.state.shares.get(label);
      clear(this.share, share === undefined ? "" : String(Number((100 * share).toPrecision(6))));
      if (goal[0] === "budget" || goal[0] === "shared") this.unit.value = goal[2];
      if (goal[0] === "recall") this.certainty.value = goal[2];
      if (goal[0] === "precision") this.surety.value = goal[2] ?? "reached";
      for (const radio of this.root.querySelectorAll("[data-part=scope] input")) radio.checked = radio.value === scope;
      this.root.dataset.scope = scope;
      // A share is that of one label; and of classes only the strength speaks of all.
      const single = this.isLabels ? [this.share] : [this.share, this.cut, this.budget, this.unit, this.recall, this.certainty, this.precision, this.surety];
      for (const control of single) control.disabled = scope === "all";
      if (this.arm) this.arm.value = String(this.state.arm);
    }
    showCut() {
      const column = this.state.label;
      const value = this.isLabels ? expit(this.cutOf(column) + this.shift(column)) : this.data.offset[column];
      const text = this.isLabels ? probability(value) : value.toFixed(3);
      if (document.activeElement !== this.cut) this.cut.value = text;
      this.strip.setAttribute("aria-valuetext", `${this.words.cut} ${text}`);
      this.strip.setAttribute("aria-valuenow", String(this.data.cuts(column).last - this.index(column)));
    }
    show(redraw, goal) {
      const column = this.state.label;
      const now = this.measured(column);
      this.label.textContent = this.body.names[column];
      const { pos } = this.point(column);
      this.root.classList.toggle("fragile", pos < this.body.few);
      this.fragile.hidden = pos >= this.body.few;
      this.fragile.textContent = this.words.fragile.replace("{n}", pos);
      this.say(goal, pos);
      const how = this.how(column);
      const beside = { now };
      for (const which of ["tuned", "default"]) beside[which] = measure(this.data.startPoint(column, which), how);
      this.fillTable(beside);
      // The curves of a class change with the offsets of the others.
      const cuts = this.data.cuts(column);
      if (redraw || cuts !== this.drawn) this.redraw();
      this.drawn = cuts;
      this.mark(beside);
      this.showCut();
      this.list.render(redraw);
      if (this.state.scope === "all" || !this.isLabels) this.fillTotals();
      if (this.numbers.closest("details").open) this.fillNumbers();
      this.writeFragment();
    }
    say(goal, pos) {
      const { words } = this;
      let text = "";
      const kind = goal?.[0];
      if (kind === "recall" && this.state.scope === "one") {
        const [, q, mode] = goal;
        if (mode === "certified" && fewest(pos, q, this.body.level) > pos) text = words.lacking.replace("{n}", least(q, this.body.level) - pos).replace("{all}", least(q, this.body.level));
        else if (mode === "certified") text = words.certified.replace("{k}", fewest(pos, q, this.body.level)).replace("{n}", pos);
        else text = words.reached;
      } else if (kind === "precision" && this.state.scope === "one") {
        text = this.sayPrecision(goal);
      }
      this.said.textContent = text;
    }
    sayPrecision(goal) {
      const { words } = this;
      const [column, [, wanted, mode]] = [this.state.label, goal];
      const [cuts, how] = [this.data.cuts(column), this.how(column)];
      const k = cuts.solve(goal, how, this.shift(column));
      delete this.said.dataset.bound;
      if (mode !== "certified") return k === null ? words.unreached : words.reached;
      if (k === null) {
        const known = cuts.pos && cuts.neg;
        return known ? words.lackingFlagged.replace("{n}", cuts.lacking(wanted, how)) : words.unreached;
      }
      const [hits, n] = [cuts.tp[k], cuts.tp[k] + cuts.fp[k]];
      this.said.dataset.bound = precisionBound(hits, n, how.level);
      return words.certifiedFlagged.replace("{k}", hits).replace("{n}", n);
    }
    fillTable({ now, ...beside }) {
      const column = this.state.label;
      if (this.state.arm) {
        const cuts = this.data.arms[this.state.arm][column];
        beside.other = measure(cuts.point(this.body.arms[this.state.arm].tuned[column]), this.how(column));
      }
      for (const row of this.table.tBodies[0].rows) {
        const name = row.dataset.metric;
        const [value, low, high] = now[name];
        const cell = row.cells[1];
        cell.firstChild.nodeValue = shown(name, value);
        cell.lastChild.textContent = Number.isFinite(low) ? `${shown(name, low)} ${this.words.to} ${shown(name, high)}` : "";
        Object.assign(cell.dataset, { value, low, high });
        row.cells[2].textContent = shown(name, beside.tuned[name][0]);
        row.cells[3].textContent = shown(name, beside.default[name][0]);
        if (row.cells[4]) row.cells[4].textContent = beside.other ? shown(name, beside.other[name][0]) : "";
      }
      if (this.arm) this.table.classList.toggle("overlaid", this.state.arm > 0);
    }
    fillTotals() {
      const sums = {};
      const rows = this.totals.tBodies[0].rows;
      for (const { dataset } of rows) if (dataset.how !== "share") sums[dataset.metric] = { n: 0, value: [0, 0, 0] };
      this.body.names.forEach((_, column) => {
        const own = this.measured(column);
        for (const [name, sum] of Object.entries(sums)) {
          if (!Number.isFinite(own[name][0])) continue;
          sum.n++;
          own[name].forEach((v, i) => { sum.value[i] += Number.isFinite(v) ? v : own[name][0]; });
        }
      });
      for (const row of rows) {
        const name = row.dataset.metric;
        const { n, value } = sums[name] ?? { value: [] };
        const { how } = row.dataset;
        const [middle, low, high] = how === "share" ? this.data.accuracy(this.how(0)) : value.map((v) => (how === "mean" ? v / n : v));
        const cell = row.cells[1];
        cell.firstChild.nodeValue = shown(name, middle);
        cell.lastChild.textContent = Number.isFinite(middle) ? `${shown(name, low)} ${this.words.to} ${shown(name, high)}` : "";
        Object.assign(cell.dataset, { value: middle, low, high });
        row.cells[2].textContent = how === "mean" ? `${n} / ${this.body.names.length}` : "";
      }
    }
    // The curves of a label; they change with the label, its prevalence, costs and the overlay.
    curves(cuts, how, shift) {
      const at = some(cuts.last);
      const { pos, neg } = cuts;
      const n = pos + neg;
      const share = how.share ?? pos / n;
      const worth = at.map((k) => {
        const [a, b] = how.share === null ? [cuts.tp[k] / n, cuts.fp[k] / n] : [(share * cuts.tp[k]) / pos, ((1 - share) * cuts.fp[k]) / neg];
        return { k, z: cuts.cut[k], a, b };
      });
      const grid = [];
      for (let i = 1; i < 100; i++) {
        const t = i / 100;
        const k = cuts.lastWhere((j) => cuts.cut[j] + shift >= logit(t));
        const [a, b] = how.share === null ? [cuts.tp[k] / n, cuts.fp[k] / n] : [(share * cuts.tp[k]) / pos, ((1 - share) * cuts.fp[k]) / neg];
        grid.push([t, a - (b * t) / (1 - t)]);
      }
      return {
        share,
        pr: worth.filter(({ k }) => k > 0).map(({ a, b }) => [a / share, a / (a + b)]),
        cost: worth.map(({ z, a, b }) => [z, 1000 * (how.alarm * b + how.miss * (share - a))]),
        benefit: grid,
      };
    }
    redraw() {
      const column = this.state.label;
      const cuts = this.data.cuts(column);
      const [how, shift, words] = [this.how(column), this.shift(column), this.words];
      const own = this.curves(cuts, how, shift);
      const over = this.state.arm ? this.curves(this.data.arms[this.state.arm][column], how, shift) : null;
      this.share_ = own.share;
      const [low, high] = [cuts.cut[cuts.last], cuts.cut[0]];
      const pad = 0.03 * (high - low) || 1;
      this.zAxis = this.isLabels ? oddsAxis(low - pad, high + pad, shift) : { low: low - pad, high: high + pad, ticks: ticks(low - pad, high + pad, 5) };
      if (!this.isLabels) this.zAxis.ticks = this.zAxis.ticks.map(([z]) => [z, String(Number((-z).toPrecision(4)))]);

      this.prAt = axes(this.pr, UNIT, UNIT, words.recall, words.precision);
      line(this.pr, this.prAt, UNIT, UNIT, [[0, own.share], [1, own.share]], "guess");
      if (over) line(this.pr, this.prAt, UNIT, UNIT, over.pr, "over");
      line(this.pr, this.prAt, UNIT, UNIT, own.pr, "own");

      // Where flagging everybody, or nobody, costs far more than the rest, the figure ends below it.
      const dear = own.cost.map(([, v]) => v);
      const most = Math.max(1e-9, Math.min(1.05 * Math.max(...dear), 4 * Math.min(dear[0], dear.at(-1))));
      const yCost = { low: 0, high: most, ticks: ticks(0, most, 4) };
      this.costAxis = yCost;
      this.costAt = axes(this.costs, this.zAxis, yCost, words.cut, words.cost);
      line(this.costs, this.costAt, this.zAxis, yCost, [[low, own.cost.at(-1)[1]], [high, own.cost.at(-1)[1]]], "guess");
      line(this.costs, this.costAt, this.zAxis, yCost, [[low, own.cost[0][1]], [high, own.cost[0][1]]], "none");
      if (over) line(this.costs, this.costAt, this.zAxis, yCost, over.cost, "over");
      line(this.costs, this.costAt, this.zAxis, yCost, own.cost, "own");

      const top = Math.max(own.share, 1e-6) * 1.05;
      const yBenefit = { low: -0.25 * top, high: top, ticks: ticks(-0.25 * top, top, 4).map(([v]) => [v, String(Number((1000 * v).toPrecision(3)))]) };
      this.benefitAxis = yBenefit;
      this.benefitAt = axes(this.decision, UNIT, yBenefit, words.breakEven, words.benefit);
      line(this.decision, this.benefitAt, UNIT, yBenefit, [[0, 0], [1, 0]], "none");
      const all = own.benefit.map(([t]) => [t, own.share - ((1 - own.share) * t) / (1 - t)]);
      line(this.decision, this.benefitAt, UNIT, yBenefit, all, "guess");
      if (over) line(this.decision, this.benefitAt, UNIT, yBenefit, over.benefit, "over");
      line(this.decision, this.benefitAt, UNIT, yBenefit, own.benefit, "own");
      this.drawStrip(cuts);
      this.marks = {};
      for (const [name, svg] of [["pr", this.pr], ["costs", this.costs], ["decision", this.decision]]) {
        this.marks[name] = {
          tuned: draw(svg, "rect", { class: "tuned", width: 9, height: 9 }),
          default: draw(svg, "path", { class: "default", d: "M0-6L5.5 4H-5.5Z" }),
          now: draw(svg, "circle", { class: "now", r: 5.5 }),
        };
      }
    }
    drawStrip(cuts) {
      const svg = this.strip;
      const width = this.stripWidth = Math.max(280, Math.round(svg.getBoundingClientRect().width) || 640);
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} 74`);
      const axis = this.stripAxis = this.zAxis;
      this.stripX = (z) => 14 + ((inside(z, axis) - axis.low) / (axis.high - axis.low)) * (width - 28);
      for (const [z, word] of axis.ticks) {
        draw(svg, "line", { class: "tick", x1: this.stripX(z), x2: this.stripX(z), y1: 8, y2: 52 });
        draw(svg, "text", { x: this.stripX(z), y: 68, "text-anchor": "middle" }, word);
      }
      // Of very many positives some are drawn, evenly by rank.
      const every = Math.max(1, Math.ceil(cuts.pos / 2000));
      let [path, wait] = ["", 0];
      for (let k = 1; k <= cuts.last; k++) {
        wait += cuts.tp[k] - cuts.tp[k - 1];
        if (wait >= every) { path += `M${this.stripX(cuts.cut[k]).toFixed(1)} 18v26`; wait %= every; }
      }
      const clip = `${this.id}-flagged`;
      this.stripClip = draw(draw(draw(svg, "defs", {}), "clipPath", { id: clip }), "rect", { y: 0, height: 60, width });
      draw(svg, "path", { class: "dots", d: path });
      draw(svg, "path", { class: "dots flagged", d: path, "clip-path": `url(#${clip})` });
      this.stripMarks = {
        tuned: draw(svg, "rect", { class: "tuned", width: 9, height: 9 }),
        default: draw(svg, "path", { class: "default", d: "M0-6L5.5 4H-5.5Z" }),
        now: draw(svg, "g", { class: "now" }),
      };
      draw(this.stripMarks.now, "line", { y1: 4, y2: 58 });
      draw(this.stripMarks.now, "circle", { r: 7, cy: 31 });
      const drawn = this.words.drawn.replace("{n}", Math.ceil(cuts.pos / every)).replace("{all}", cuts.pos);
      svg.setAttribute("aria-valuemin", "0");
      svg.setAttribute("aria-valuemax", String(cuts.last));
      this.part("drawn").textContent = every > 1 ? drawn : "";
    }
    mark(beside) {
      const column = this.state.label;
      const how = this.how(column);
      const cuts = this.data.cuts(column);
      const where = { now: cuts.cut[this.index(column)], tuned: this.startCut(column, "tuned"), default: this.startCut(column, "default") };
      const t = how.alarm / (how.alarm + how.miss);
      for (const [mark, z] of Object.entries(where)) {
        const m = beside[mark];
        const put = (item, x, y) => {
          const off = mark === "tuned" ? 4.5 : 0;
          const known = Number.isFinite(x) && Number.isFinite(y);
          item.style.display = known ? "" : "none";
          if (known) item.setAttribute("transform", `translate(${(x - off).toFixed(2)} ${(y - off).toFixed(2)})`);
        };
        put(this.marks.pr[mark], this.prAt.x(m.recall[0]), this.prAt.y(m.precision[0]));
        const cost = inside(1000 * m.cost[0], this.costAxis);
        put(this.marks.costs[mark], this.costAt.x(inside(z, this.zAxis)), this.costAt.y(cost));
        put(this.marks.decision[mark], this.benefitAt.x(t), this.benefitAt.y(inside(m.net_benefit[0], this.benefitAxis)));
        const x = this.stripX(z);
        this.stripMarks[mark].setAttribute("transform", mark === "now" ? `translate(${x.toFixed(2)} 0)` : `translate(${(x - (mark === "tuned" ? 4.5 : 0)).toFixed(2)} ${mark === "tuned" ? 1 : 53})`);
        if (mark === "now") this.stripClip.setAttribute("x", x.toFixed(2));
      }
    }
    startCut(column, which) {
      if (this.isLabels) return this.data.cuts(column).cut[this.data.start(column, which)];
      return which === "tuned" ? -this.body.tuned[column] : 0;
    }
    // The table behind the figures: some forty cuts.
    fillNumbers() {
      const table = this.numbers;
      const column = this.state.label;
      const cuts = this.data.cuts(column);
      const how = this.how(column);
      const step = Math.max(1, Math.ceil(cuts.last / 40));
      const rows = [];
      for (let k = 0; k <= cuts.last; k += step) rows.push(k);
      if (rows.at(-1) !== cuts.last) rows.push(cuts.last);
      table.tBodies[0].replaceChildren(...rows.map((k) => {
        const m = measure(cuts.point(k), how);
        const row = document.createElement("tr");
        const first = this.isLabels ? probability(expit(cuts.cut[k] + this.shift(column))) : (-cuts.cut[k]).toFixed(2);
        for (const text of [first, ...["recall", "precision", "f1", "flagged", "cost", "net_benefit"].map((name) => shown(name, m[name][0]))]) {
          row.insertCell().textContent = text;
        }
        return row;
      }));
    }

    // ---- the rule as a file
    rule() {
      const { body, state } = this;
      const made = structuredClone(body.rule);
      if (made.rows.loose_ids === "ids") made.rows.loose_ids = made.rows.ids;
      const shift = this.priors();
      if (this.isLabels) {
        made.thresholds = body.names.map((_, c) => {
          const goal = this.goal(c);
          const own = goal[0] === "tuned" ? body.arms[0].own[c] : this.cutOf(c);
          return typeof own === "string" ? own : own + shift.by[c];
        });
        made.threshold_probabilities = made.thresholds.map((t) => (typeof t === "string" ? 1 : expit(t)));
        if (state.costs.size || state.ratio !== 1) made.parameters = { costs: body.names.map((_, c) => [1, this.how(c).miss]) };
      } else made.class_offset = [...this.data.offset].map((b, c) => b - shift.by[c]);
      if (state.shares.size) {
        made.prior = made.target_prior = shift.prior;
        made.prior_shift = made.prior_shift.map((s, c) => s + shift.by[c]);
      }
      return JSON.stringify(made, null, 1);
    }
    // The declared prior, of classes with the rest scaled to fill it, and what it adds to log-odds.
    priors() {
      const old = this.body.prior;
      const given = this.state.shares;
      if (!given.size) return { prior: old, by: old.map(() => 0) };
      if (this.isLabels) return { prior: old.map((p, c) => given.get(c) ?? p), by: old.map((_, c) => this.shift(c)) };
      let [taken, before] = [0, 0];
      for (const [c, p] of given) { taken += p; before += old[c]; }
      const prior = old.map((p, c) => given.get(c) ?? (p * (1 - taken)) / (1 - before));
      return { prior, by: prior.map((p, c) => Math.log(p / old[c])) };
    }
    download() {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([this.rule()], { type: "application/json" }));
      link.download = "rule.json";
      link.click();
      URL.revokeObjectURL(link.href);
    }

    // ---- the state in the address
    writeFragment() {
      if (!this.state.asked) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        const params = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
        for (const key of [...params.keys()]) if (key.startsWith(`${this.id}.`)) params.delete(key);
        const { state, body } = this;
        const put = (key, value) => params.append(`${this.id}.${key}`, value);
        put("label", body.names[state.label]);
        if (state.scope === "all") put("scope", "all");
        if (state.all) put("all", state.all.join(":"));
        if (state.ratio !== 1) put("ratio", state.ratio);
        if (state.arm) put("arm", body.arms[state.arm].name);
        for (const [c, goal] of state.goals) put("cut", `${body.names[c]}=${goal.join(":")}`);
        for (const [c, p] of state.shares) put("share", `${body.names[c]}=${p}`);
        for (const [c, r] of state.costs) put("cost", `${body.names[c]}=${r}`);
        if (!this.isLabels) this.data.offset.forEach((b, c) => { if (b !== body.tuned[c]) put("offset", `${body.names[c]}=${b}`); });
        this.written = `#${params}`;
        history.replaceState(null, "", this.written);
      }, 200);
    }
    // Take the state from the address; names bind, and what the page does not know is left out.
    readFragment() {
      const params = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
      const all = (key) => params.getAll(`${this.id}.${key}`);
      if (location.hash === this.written || !params.has(`${this.id}.label`)) { this.fill(); return false; }
      this.reset();
      const { state, body } = this;
      const read = (text) => { const [kind, value, mode] = text.split(":"); return value === undefined ? [kind] : mode === undefined ? [kind, Number(value)] : [kind, Number(value), mode]; };
      const named = (key, set) => {
        for (const entry of all(key)) {
          const at = entry.lastIndexOf("=");
          const column = body.names.indexOf(entry.slice(0, at));
          if (column >= 0) set(column, entry.slice(at + 1));
        }
      };
      state.label = Math.max(0, body.names.indexOf(all("label")[0]));
      state.scope = all("scope")[0] === "all" ? "all" : "one";
      if (all("all").length) state.all = read(all("all")[0]);
      if (all("ratio").length) state.ratio = Number(all("ratio")[0]);
      state.arm = Math.max(0, body.arms.findIndex((arm) => arm.name === all("arm")[0]));
      named("cut", (c, text) => state.goals.set(c, read(text)));
      named("share", (c, text) => state.shares.set(c, Number(text)));
      named("cost", (c, text) => state.costs.set(c, Number(text)));
      if (!this.isLabels) { named("offset", (c, text) => { this.data.offset[c] = Number(text); }); this.data.decide(); }
      state.asked = true;
      this.fill();
      return true;
    }
  }

  // The list of labels: of a thousand, only the rows in sight exist.
  const HEIGHT = 33;
  class Rows {
    constructor(explorer) {
      this.explorer = explorer;
      this.box = explorer.part("scroll");
      this.body = explorer.part("list");
      const names = explorer.body.names;
      this.lower = names.map((name) => name.toLowerCase());
      this.order = names.map((_, c) => c);
      this.sortBy("f1", true);
      explorer.part("search")?.addEventListener("input", (event) => {
        this.wanted = event.target.value.toLowerCase();
        this.box.scrollTop = 0;
        this.render(true);
      });
      this.box.addEventListener("scroll", () => this.render(true));
      for (const head of explorer.part("heads").cells) {
        head.querySelector("button")?.addEventListener("click", () => {
          const up = head.getAttribute("aria-sort") !== "ascending";
          for (const other of explorer.part("heads").cells) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", up ? "ascending" : "descending");
          this.sortBy(head.dataset.by, up);
          this.box.scrollTop = 0;
          this.render(true);
        });
      }
    }
    value(column, by) {
      if (by === "name") return this.explorer.body.names[column];
      if (by === "positives") return this.explorer.point(column).pos;
      return this.explorer.measured(column, false)[by][0];
    }
    sortBy(by, up) {
      const keys = this.explorer.body.names.map((_, c) => this.value(c, by));
      const rank = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (Number.isNaN(a) ? -1 : a) - (Number.isNaN(b) ? -1 : b));
      this.order.sort((a, b) => (up ? 1 : -1) * rank(keys[a], keys[b]) || a - b);
    }
    render(rebuild) {
      const { explorer, body } = this;
      if (rebuild) {
        this.shown = this.wanted ? this.order.filter((c) => this.lower[c].includes(this.wanted)) : this.order;
        const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - 4);
        const count = Math.ceil(this.box.clientHeight / HEIGHT) + 8;
        const some = this.shown.slice(first, first + count);
        const spacer = (n) => { const row = document.createElement("tr"); row.ariaHidden = "true"; row.style.height = `${n * HEIGHT}px`; return row; };
        this.rows = some.map((column) => this.row(column));
        const [above, below] = [first, this.shown.length - first - some.length];
        const focused = body.contains(document.activeElement) && document.activeElement.dataset.column;
        body.replaceChildren(...(above > 0 ? [spacer(above)] : []), ...this.rows, ...(below > 0 ? [spacer(below)] : []));
        if (focused) body.querySelector(`[data-column="${focused}"]`)?.focus({ preventScroll: true });
        explorer.part("count").textContent = explorer.words.count.replace("{n}", this.shown.length).replace("{all}", this.order.length);
      }
      const { scope, label } = explorer.state;
      for (const row of this.rows) {
        const column = Number(row.dataset.row);
        if (rebuild || scope === "all" || !explorer.isLabels || column === label) this.numbers(row, column);
        row.classList.toggle("pick", column === label);
        row.firstChild.firstChild.setAttribute("aria-current", String(column === label));
      }
    }
    row(column) {
      const row = document.createElement("tr");
      row.dataset.row = column;
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.column = column;
      button.textContent = this.explorer.body.names[column];
      button.addEventListener("click", () => this.explorer.choose(column));
      row.insertCell().append(button);
      for (let i = 0; i < 6; i++) row.insertCell();
      return row;
    }
    numbers(row, column) {
      const { explorer } = this;
      const m = explorer.measured(column, false);
      const { pos } = explorer.point(column);
      const cut = explorer.isLabels ? probability(expit(explorer.cutOf(column) + explorer.shift(column))) : explorer.data.offset[column].toFixed(2);
      const texts = [pos.toLocaleString("en"), cut, ...["recall", "precision", "f1", "flagged"].map((name) => shown(name, m[name][0]))];
      texts.forEach((text, i) => { row.cells[i + 1].textContent = text; });
      row.classList.toggle("fragile", pos < explorer.body.few);
    }
  }

  for (const root of document.querySelectorAll("[data-explorer]")) new Explorer(root);
}
