// Chinese; what is missing here is said in English.
export const zh = {
  "cancel": "取消", "compare": "比较", "column.age": "时间", "column.best": "最佳", "column.last": "最新", "column.name": "名称", "column.owner": "成员",
  "column.progress": "进度", "column.run": "运行", "column.runs": "运行", "column.seed": "种子", "column.state": "状态", "column.worker": "工作节点",
  "filter.apply": "筛选", "filter": "筛选实验", "language": "语言", "live": "实时", "loading": "加载中", "more": "更多", "pause": "暂停",
  "place.compare": "比较", "place.experiments": "实验", "place.new": "新建", "place.workers": "工作节点", "resume": "继续", "retry": "重试", "fork": "分支",
  "delete": "删除", "tags": "标签", "columns": "列", "diagnosis": "诊断", "remedy": "对策", "try": "试一试", "measure": "测量", "instruments": "仪器",
  "level.fault": "故障", "level.warning": "警告", "level.info": "提示", "level.healthy": "正常", "level.unknown": "未知",
  "finding.lr_above_stability": "学习率过高", "finding.lr_too_small": "学习率过低", "finding.strict_saddle": "停在鞍点上", "finding.dying_relu": "许多单元已死亡", "finding.overfitting": "过拟合",
  "finding.vanishing_gradient": "梯度消失", "finding.exploding_gradient": "梯度爆炸", "finding.needs_warmup": "缺少预热",
  "sign.in": "登录", "sign.key": "API 密钥", "sign.out": "退出", "state.cancelled": "已取消", "state.failed": "失败", "state.paused": "已暂停",
  "state.queued": "排队中", "state.running": "运行中", "state.succeeded": "成功",
};
